"""The terms of the project: drops, jobs, batches, outcomes, problems, and which state may follow which.

Never: a service, a clock, a library beyond Python's own.
"""
