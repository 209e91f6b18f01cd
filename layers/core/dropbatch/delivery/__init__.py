"""The result files of a job: shards are rendered, joined into files, and the job ends.

Never: a call to OpenAI. The files follow from rows, recipe and collected results alone.
"""
