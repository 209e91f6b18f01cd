"""Failures of AWS as errors of the client, whose text is a sentence."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from dropbatch.adapters.user_session import failure_of
from dropbatch.client.errors import NotReachableError
from dropbatch.domain.errors import DropbatchError, ObjectForbiddenError

T = TypeVar("T")


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise NotReachableError for a failure of AWS in the block."""
    try:
        yield
    except ObjectForbiddenError as error:
        raise NotReachableError(
            "S3 does not let you read an object of the stack: ask its administrators for s3:GetObject and "
            "s3:ListBucket on its buckets, and for the key that encrypts them."
        ) from error
    except DropbatchError:
        raise
    except Exception as error:
        sentence = failure_of(error)
        if sentence is None:
            raise
        raise NotReachableError(sentence) from error


def translating(port: T) -> T:
    """Return a port, or a client of a service, whose calls raise NotReachableError for failures of AWS."""
    return cast(T, _Translating(port))


class _Translating:
    def __init__(self, port: Any) -> None:
        self._port = port

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        return _translated(found) if callable(found) else found


def _translated(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        with translated_errors():
            found = method(*arguments, **named)
        return _steps(found) if isinstance(found, Iterator) else found

    return call


def _steps(iterator: Iterator[Any]) -> Iterator[Any]:
    with translated_errors():
        yield from iterator
