"""Commands of metaray as jobs of a cluster."""
