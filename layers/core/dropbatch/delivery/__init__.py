"""Renders shards, joins them into the result files, and ends the job.

Never: a call to OpenAI. What it writes follows from rows, recipe and collected results alone.
"""
