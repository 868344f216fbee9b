"""The report of a study, as a page, a table and a W&B report."""
