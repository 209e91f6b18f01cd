"""Rows in, rows out: csv, tsv, JSON, text, Parquet and ready batch files, streamed, with every record's bytes kept.

Never: a recipe, an answer's meaning, or a whole file in memory.
"""
