"""PixelPersona: Stable Diffusion fine-tuned by LoRA to turn photos of people into pixel-art portraits."""
