"""The facts of OpenAI's Batch API, each in one place: endpoints, limits, error codes, models, fees, request sizes.

Never: a call to OpenAI, or a decision about a job.
"""
