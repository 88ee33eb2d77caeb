"""From photo to pixel-art portrait: samplers, img2img, baselines, controls, seed and strength search."""
