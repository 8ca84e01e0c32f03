"""Layers whose derivatives are written out: the fast path of gradient-based methods."""
