"""Where photos come from, and what training reads: pairs, cached latents, batches."""
