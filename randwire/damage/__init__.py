"""Graph damage: what trained networks lose with one node or one edge of their graphs."""
