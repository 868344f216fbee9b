"""Statistics of a study's numbers, as plain functions."""
