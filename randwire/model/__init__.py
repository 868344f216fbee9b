"""The network: node operations, random stages, exact size."""
