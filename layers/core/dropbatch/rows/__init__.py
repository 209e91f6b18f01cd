"""The stored rows of a job become requests again, the same bytes each time, whichever process asks.

Never: a state, the table, or the time of day.
"""
