"""Plots and pages of a run directory. Nothing else is read."""
