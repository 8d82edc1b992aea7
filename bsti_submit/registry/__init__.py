"""The embedded reference registry: the other end of the wire, to the same standard, and never a mock.

It imports nothing of the client but data (schemas, exported allow-lists), `model` and `errors`. Start it with
`server.run`, or ``python -m bsti_submit.registry serve --data DIR``.
"""
