"""The parts that steps of every kind share: leases, holds, money, the outbox, deduplication, and how a job ends.

Never: the content of a row, a recipe or an answer.
"""
