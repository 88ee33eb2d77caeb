"""Commands around Hydra: configuration, overrides, sweeps, help and one-line errors."""
