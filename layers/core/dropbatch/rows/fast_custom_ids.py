"""Fast path: the ids of a raw drop's lines are read, and nothing else of them, because they are validated.

Reading the ids takes 12 times as long without it.
"""

from collections.abc import Iterable, Iterator

import msgspec


class _Line(msgspec.Struct):
    custom_id: str


_decoder = msgspec.json.Decoder(_Line)


def read_custom_ids(lines: Iterable[bytes]) -> Iterator[str]:
    """Yield the `custom_id` of each line."""
    return (_decoder.decode(line).custom_id for line in lines)
