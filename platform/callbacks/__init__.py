"""Who is told of a run: console, status file, TensorBoard, Prometheus, trackers."""
