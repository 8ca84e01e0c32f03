"""What runs export, and what Prometheus and Grafana need to take it up."""
