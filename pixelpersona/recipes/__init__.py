"""One job per file, readable top to bottom; commands parse a configuration and call one of them."""
