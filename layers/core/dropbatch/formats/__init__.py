"""Rows in, rows out: csv, tsv, JSON Lines, text and raw batch files, streamed, with every record's bytes kept."""
