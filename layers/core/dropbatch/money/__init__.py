"""The prices of models, by the recipe or the public price list: what a job is quoted at, and what answers cost.

Never: a decision to spend, or an item of the table.
"""
