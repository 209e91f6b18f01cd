"""The answers of each endpoint: one module for an endpoint, and modules that several of them share.

`answers.py` beside this package holds the table of the endpoints. The shared modules are
`request`, `messages`, `structured_output` and `function_calls`.
"""
