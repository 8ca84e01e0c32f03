"""What a run tells the outside: status file, Prometheus, TensorBoard, trackers, and the watch."""
