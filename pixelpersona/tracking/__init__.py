"""Where a run writes its numbers: metrics.jsonl, the record of truth, and Weights & Biases."""
