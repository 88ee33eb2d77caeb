"""Reads run folders and results, and turns them into tables, curves, pages and cards."""
