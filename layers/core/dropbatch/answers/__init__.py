"""The lines that OpenAI returns: which row each belongs to, its outcome, its columns, its usage, and their sums.

Never: a retry, a state, or a call to OpenAI.
"""
