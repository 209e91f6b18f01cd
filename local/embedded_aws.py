"""ministack, taken to have been reached over TLS: `<its own python> local/embedded_aws.py`, with its usual environment.

It enforces policies, those too that refuse whoever comes without TLS. In front of AWS that is the caller's business.
Here nothing leaves the machine, and every tool that one wants to use would have to trust a certificate of our own. So
each request bears the header with which a proxy that has ended TLS says so, and the policies stay as they are.
"""

from typing import Any

import ministack.app  # type: ignore[import-not-found]  # it lives in an environment of its own

_inner = ministack.app.app


async def over_tls(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The same ASGI application, with the header."""
    if scope["type"] == "http":
        scope = {**scope, "headers": [*scope["headers"], (b"x-forwarded-proto", b"https")]}
    await _inner(scope, receive, send)


if __name__ == "__main__":
    ministack.app.app = over_tls
    ministack.app.main()
