"""The report of a study as a W&B report: the words and tables of the facts, and panels over the runs that W&B has."""
