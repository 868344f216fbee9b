"""The sweep: settings trained on a Ray cluster."""
