"""Trained models in use: a few labelled pictures in, predictions out."""
