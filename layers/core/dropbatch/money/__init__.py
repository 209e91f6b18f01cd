"""The prices of models, by the recipe or the public price list, and the cost of answers in US dollars.

Never: a decision to spend. It adds up what was spent.
"""
