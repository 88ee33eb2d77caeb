"""Pretraining of a base model: one file per stage, and stage.py for what the trained stages share."""
