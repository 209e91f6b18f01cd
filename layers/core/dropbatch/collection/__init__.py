"""Collects an ended batch: fetches its answer files, gives each row its outcome, decides which rows are retried.

Never: a new batch at OpenAI. It plans child batches, and submission sends them.
"""
