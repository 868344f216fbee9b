"""What pages are made of: style, text, tables and the file itself; of reports of studies and of graph damage."""
