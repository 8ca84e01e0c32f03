"""Meta-training and transfer jobs from beginning to end."""
