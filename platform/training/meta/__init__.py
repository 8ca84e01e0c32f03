"""One outer step of meta-training: shard sums, added by a learner."""
