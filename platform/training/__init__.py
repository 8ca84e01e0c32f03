"""The outer loop, and what one step of an experiment computes."""
