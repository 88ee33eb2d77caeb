"""Where a run records its numbers: metrics.jsonl and Weights & Biases."""
