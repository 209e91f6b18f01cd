"""Sends batches to OpenAI: decides which may go now, and creates each at most once.

Never: an answer, a result, or a second create for the same batch key.
"""
