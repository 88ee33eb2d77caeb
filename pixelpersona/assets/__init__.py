"""Packaged files: the tiny base, portraits, a LoRA, two networks and palettes; see `locate.path`."""
