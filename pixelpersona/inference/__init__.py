"""A photo in, a pixel-art portrait out: samplers, and everything that makes portraits."""
