"""What belongs to cluster.yaml: a cluster of machines one owns, and what an account with AWS needs."""
