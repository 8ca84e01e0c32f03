"""The two executors on Ray: shard sums to a learner, and groups in Ray Train."""
