"""Configuration schemas: one file per config group and command, types only; the values are in conf/."""
