"""Networks: Stable Diffusion bases, their codec, LoRA adapters, the supervised baseline, feature networks."""
