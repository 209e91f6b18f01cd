"""The places and names of jobs, rows and results in S3 and in the table.

Never: a decision about what happens next.
"""
