"""Moves on everything that waits, once a minute: batch statuses, due work, holds, deadlines, lost events.

Never: a row, a result, or an answer file.
"""
