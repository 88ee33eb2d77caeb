"""One loop for every objective, with exact checkpoints."""
