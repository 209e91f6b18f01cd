"""JSON Lines, arrays and objects over several lines, and ready batch requests.

Never: a changed byte. A record is its own bytes.
"""
