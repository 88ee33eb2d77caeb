"""Photos, pairs and latents on disk, and batches of them for training."""
