"""From the text of a recipe to what it does: a row becomes a request, and an answer has its columns.

Never: a read from S3. Texts come in; requests, columns and problems go out.
"""
