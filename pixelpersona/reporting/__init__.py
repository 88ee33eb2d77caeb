"""Tables, plots, pages and model cards from run folders and results."""
