"""The two executors on Ray: shard sums to a learner, and all-reduce in Ray Train."""
