"""One step of a transfer job: a batch whose shards several processes share."""
