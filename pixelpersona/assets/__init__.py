"""Packaged files: the tiny base, portraits, a LoRA, the feature network and palettes; see `locate.path`."""
