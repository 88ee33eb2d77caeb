"""The comparison: the same photos and seeds for every variant, with intervals."""
