"""``metaray compare``: several methods under one budget, on the same episodes, over seeds."""
