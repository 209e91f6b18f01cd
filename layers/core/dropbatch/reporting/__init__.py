"""Words for people and JSON for programs: notifications, digests, advice, small result files, the report page.

Never: a change of an item, or the text of a row in a message.
"""
