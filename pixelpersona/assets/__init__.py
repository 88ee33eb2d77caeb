"""Packaged files: the tiny base, its portraits, a LoRA; `locate.path(name)` finds them."""
