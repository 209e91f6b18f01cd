"""The command `dropbatch`: what the client does, with words, tables and progress bars for a terminal.

Never: a call to AWS or OpenAI that the client does not make.
"""
