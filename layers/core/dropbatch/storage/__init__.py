"""Storage of jobs, rows and results: the items of the table, and the files in the work bucket.

Never: a decision about what happens next.
"""
