"""Transfer jobs: one loop over batches, in this process or in the workers of Ray Train."""
