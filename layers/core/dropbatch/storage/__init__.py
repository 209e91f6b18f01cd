"""Where jobs, rows and results are kept in S3 and in the table, and under which names.

Never: a decision about what happens next.
"""
