"""Data sets, their splits by class, and the sampling of episodes from them."""
