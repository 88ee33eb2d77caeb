"""Typed configuration in, objects out: one file per room, each group's schema beside its builder."""
