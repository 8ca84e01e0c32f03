"""Sweeps: many trainings of one config with varied settings, and what can be learned from them."""
