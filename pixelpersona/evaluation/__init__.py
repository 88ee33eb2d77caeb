"""Compares variants on the same photos and seeds, with confidence intervals."""
