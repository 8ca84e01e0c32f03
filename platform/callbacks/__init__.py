"""What follows a run: console, status file, TensorBoard, Prometheus, trackers, your own."""
