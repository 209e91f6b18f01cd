"""The cost of answers in US dollars, by the public price list.

Never: a decision to spend. It adds up what was spent.
"""
