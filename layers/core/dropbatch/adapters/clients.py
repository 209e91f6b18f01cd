"""Clients of AWS's services.

botocore makes the clients, each at its first use: boto3 would add 60 ms to the start of every function.
"""

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

from botocore.config import Config
from botocore.session import Session

CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=5, read_timeout=30)

S3_CALLS_AT_ONCE = 32
"""How many parts S3 copies at once, and how many small objects are read. S3 copies a part of 50 MB in half a second,
and a job of ten million rows has 400 of them."""

S3_CONFIG = CONFIG.merge(Config(read_timeout=60, max_pool_connections=S3_CALLS_AT_ONCE))
"""S3 may answer a copy of 256 MiB only when it is done. This timeout allows for 5 MB a second. Each call that is made
at once has a connection of its own."""


class Clients:
    """Clients of a region's services."""

    def __init__(self, region: str) -> None:
        self._session = Session()
        self._region = region

    def client(self, service: str) -> Any:
        """Make a client now."""
        config = S3_CONFIG if service == "s3" else CONFIG
        return self._session.create_client(service, region_name=self._region, config=config)

    def later(self, service: str) -> Any:
        """Return a client that is made at its first use: making it takes 10 to 60 ms."""
        return _Later(partial(self.client, service))


class _Later:
    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    @cached_property
    def _made(self) -> Any:
        return self._make()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)
