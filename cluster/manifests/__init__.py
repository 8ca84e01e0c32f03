"""What other systems need to start a cluster, made from one small description."""
