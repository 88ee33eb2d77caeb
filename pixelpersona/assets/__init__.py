"""Packaged files: the tiny base, its portraits, a LoRA, palettes; `locate.path(name)` finds them."""
