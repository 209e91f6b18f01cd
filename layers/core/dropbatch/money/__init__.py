"""What answers cost in US dollars, by the public price list.

Never: a decision to spend. It adds up what was spent.
"""
