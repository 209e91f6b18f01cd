"""Csv and tsv: the header and the dialect, and where each record ends.

Never: a value's meaning. Each value is a text.
"""
