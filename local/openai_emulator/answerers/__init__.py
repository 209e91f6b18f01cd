"""How each endpoint answers a request: one module an endpoint, and what several of them share.

`answers.py` beside this package holds the table of the endpoints. The modules that several endpoints share are
`request`, `messages`, `structured_output` and `function_calls`.
"""
