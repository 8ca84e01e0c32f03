"""Transfer learning: objectives over batches of labelled or unlabelled images."""
