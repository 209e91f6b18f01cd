"""Lasting faults: a call of a port fails for hours or for ever, for all subjects or for one.

The calls come from `ports.py`, so that none is forgotten. A fault is before the effect of its call or after it.
Iterators and context managers that fail after it break in the middle.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from math import inf
from typing import Any, get_args, get_origin, get_type_hints

from botocore.exceptions import ClientError, EndpointConnectionError

from dropbatch import ports
from dropbatch.domain.errors import (
    ObjectForbiddenError,
    ObjectNotFoundError,
    OpenAIAuthError,
    OpenAIBillingError,
    OpenAINotFoundError,
    OpenAIOutcomeUnknownError,
    OpenAIPermissionError,
    OpenAIRateLimitError,
    OpenAIRequestError,
)
from dropbatch.storage.context import Context
from tests.fakes.clock import FakeClock
from tests.fakes.killer import Killed, Killer

HOUR = 3600.0
FUNCTION_SECONDS = 300
"""The maximum run time of a function on Lambda, in seconds."""

_PARTS = {"Writer", "Download"}
"""Protocols of objects that calls return: these fail if the call breaks in the middle."""

_NO_FAULTS = {"Observer"}
"""Logs and metrics go to standard output."""


@cache
def calls() -> dict[str, str]:
    """Return each call of each port of the Context, with the port's Protocol: `openai.retrieve` is one of `OpenAI`."""
    protocols = {name: its for name, its in vars(ports).items() if getattr(its, "_is_protocol", False)}
    found = {}
    for member, hint in get_type_hints(Context).items():
        names = [its.__name__ for its in (hint, *get_args(hint)) if its in protocols.values()]
        for name in names:
            queues = QUEUES_OF_DEAD_LETTERS if get_origin(hint) is Mapping else ()
            for place in [f"{member}.{queue}" for queue in queues] or [member]:
                found.update({f"{place}.{call}": name for call in methods_of(protocols[name])})
    seen = set(found.values()) | _PARTS | _NO_FAULTS | {"Protocol"}
    assert set(protocols) <= seen, f"unknown ports: {set(protocols) - seen}"
    return {call: name for call, name in found.items() if name not in _NO_FAULTS}


QUEUES_OF_DEAD_LETTERS = ("intake", "dispatch", "collect", "drop_events")


def methods_of(protocol: type) -> list[str]:
    return [name for name, its in vars(protocol).items() if callable(its) and not name.startswith("_")]


_Errors = dict[str, Callable[[], Exception]]


def _aws(code: str, status: int) -> Callable[[], Exception]:
    def made() -> Exception:
        error: Any = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}
        return ClientError(error, "Call")

    return made


_UNREACHABLE: _Errors = {"unreachable": lambda: EndpointConnectionError(endpoint_url="https://nowhere")}
_AWS: _Errors = {
    "throttled": _aws("ThrottlingException", 400),
    "denied": _aws("AccessDenied", 403),
    "broken": _aws("InternalError", 500),
    **_UNREACHABLE,
}
_KMS: _Errors = {"kms": _aws("KMSDisabledException", 400)}
_READING: _Errors = {
    "throttled": _aws("SlowDown", 503),
    "broken": _aws("InternalError", 500),
    "forbidden": lambda: ObjectForbiddenError("403"),
    "missing": lambda: ObjectNotFoundError("NoSuchKey"),
    **_UNREACHABLE,
}
_UNSURE: _Errors = {
    "500": lambda: OpenAIOutcomeUnknownError("http_500"),
    "503": lambda: OpenAIOutcomeUnknownError("http_503"),
    "timeout": lambda: OpenAIOutcomeUnknownError("timeout"),
}
_OPENAI: _Errors = {
    **_UNSURE,
    "busy": lambda: OpenAIRateLimitError("rate_limit_exceeded", 30),
    "billing": lambda: OpenAIBillingError("insufficient_quota"),
    "key": lambda: OpenAIAuthError("invalid_api_key"),
    "permission": lambda: OpenAIPermissionError("permission_denied"),
    "refused": lambda: OpenAIRequestError("invalid_request_error"),
}
_GONE: _Errors = {"gone": lambda: OpenAINotFoundError("http_404", 404)}


def errors_of(call: str) -> dict[str, Callable[[], Exception]]:
    """Return the errors that a call can really raise, by name."""
    protocol, method = calls()[call], call.rpartition(".")[2]
    if protocol == "OpenAI":
        if method == "key_version":
            return {"key": lambda: OpenAIAuthError("secret_unreadable")}
        return _OPENAI if method in ("newest", "upload", "sees", "delete_file", "has_model") else _OPENAI | _GONE
    if protocol == "Answering":
        return {name: its for name, its in _OPENAI.items() if name != "refused"}  # that is a response
    if protocol == "Objects":
        return _READING if method in ("head", "blocks", "read_range", "read_many") else _AWS | _KMS
    return _AWS | (_KMS if protocol in ("Topics", "Queue", "EventBus") else {})


def may_fail_after(call: str, error: str) -> bool:
    """Return whether a call with this error may have had its effect anyway, or have broken in the middle."""
    return error in ("broken", "unreachable", "500", "503", "timeout")


@dataclass(frozen=True, slots=True)
class Fault:
    """One call that fails, from `begins` (seconds after the start) on.

    With `only`, it fails for one subject (a key, an item, a batch, a file, an audience): the n-th subject of the call,
    from 0. `seconds` makes it slow. A fault without an `error` is slow and succeeds.
    """

    call: str
    error: str | None = None
    begins: float = 0.0
    lasts: float = inf
    after: bool = False
    only: int | None = None
    seconds: float = 0.0

    @property
    def ends(self) -> float:
        return self.begins + self.lasts

    def raised(self) -> Exception:
        return errors_of(self.call)[self.error or ""]()


class Faults(Killer):
    """A Killer whose calls also fail as the faults say."""

    def __init__(self, clock: FakeClock, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__()
        self.faults = list(faults)
        self.fired: Counter[Fault] = Counter()
        self.hit: dict[Fault, set[str]] = {}  # the subjects of each when it fired
        self.made: Counter[str] = Counter()  # calls, whether or not they failed
        # The calls with the numbers of their subjects, for a test that wants them all: it sets an empty dict.
        self.touched: defaultdict[str, set[int]] | None = None
        self.watchers: dict[str, Callable[..., None]] = {}  # called after calls that took effect
        self._clock = clock
        self._start = clock()
        self._began = clock()
        # The subjects of each call, numbered as they came.
        self._subjects: dict[str, dict[str, int]] = {}
        self._wrapped: dict[str, _Faulty] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_wrapped": {}}

    def invoked(self) -> None:
        super().invoked()
        self._began = self._clock()

    def seconds_left(self) -> float:
        return FUNCTION_SECONDS - (self._clock() - self._began)

    def wrap(self, name: str, port: Any) -> Any:
        if isinstance(port, dict):
            return {member: self.wrap(f"{name}.{member}", its) for member, its in port.items()}
        known = self._wrapped.get(name)
        if known is None or known.port is not port:
            known = self._wrapped[name] = _Faulty(name, port, self)
        return known

    def is_active(self, fault: Fault) -> bool:
        return fault.begins <= self._clock() - self._start < fault.ends

    def called(self, name: str, method: Callable[..., Any], *args: Any, **more: Any) -> Any:
        self.made[name] += 1
        mine = [fault for fault in self.faults if fault.call == name]
        due = None
        if mine or self.touched is not None:
            subject = subject_of(name, args, more)
            known = self._subjects.setdefault(name, {})
            number = known.setdefault(subject, len(known))
            due = next((f for f in mine if f.only in (None, number) and self.is_active(f)), None)
            if self.touched is not None:
                self.touched[name].add(number)
        if due is None:
            result = self.around(name, method, *args, **more)
        else:
            self.fired[due] += 1
            self.hit.setdefault(due, set()).add(subject)
            if due.seconds:
                self._clock.sleep(due.seconds)
                if self.seconds_left() < 0:
                    raise Killed("the function's time is over")
            if due.error and not due.after:
                raise due.raised()
            result = self.around(name, method, *args, **more)
            if due.error:
                result = _broken(result, due.raised)
        watcher = self.watchers.get(name)
        if watcher:
            watcher(*args, **more)
        if due is not None and due.error and not isinstance(result, (Iterator, AbstractContextManager)):
            raise due.raised()
        return result


class _Faulty:
    def __init__(self, name: str, port: Any, faults: Faults) -> None:
        self._name, self.port, self._faults = name, port, faults

    def __getattr__(self, member: str) -> Any:
        found = getattr(self.port, member)
        return partial(self._faults.called, f"{self._name}.{member}", found) if callable(found) else found


def _broken(result: Any, error: Callable[[], Exception]) -> Any:
    """Return the result; an iterator or a context manager breaks in the middle."""
    if isinstance(result, Iterator):

        def beginning() -> Iterator[Any]:
            for first in result:
                yield first
                break
            raise error()

        return beginning()
    if isinstance(result, AbstractContextManager):

        @contextmanager
        def opened() -> Iterator[Any]:
            with result as found:
                yield found
            raise error()

        return opened()
    return result


def subject_of(call: str, args: tuple[Any, ...], more: Mapping[str, Any]) -> str:
    """Return the subject of a call: a key, an item, a message's batch, drop or job, an audience, an id at OpenAI."""
    values = (*args, *more.values()) if more else args
    port, _, method = call.rpartition(".")
    if port == "table":
        item = values[0]
        return f"{item['pk']} {item['sk']}" if type(item) is dict else " ".join(map(str, values[:2]))
    if port == "objects":
        bucket, key = values[1:3] if method == "join" else values[:2]
        return f"{bucket}/{key}"
    if port == "bus":
        return str(values[0].event)
    if method == "send":
        return about(values[0])
    return str(values[0]) if values else ""


def about(message: Mapping[str, Any]) -> str:
    """Return the subject of a queue's message: a batch, a job, or a version of an object."""
    if "job_id" in message:
        return f"{message['job_id']} {message.get('batch') or 'job'}"
    detail = message.get("detail")
    if detail:
        found = detail["object"]
        return f"{found['key']} {found.get('version-id')} "
    return f"{message['key']} {message['version_id']} {message.get('rerun_version') or ''}"


def is_everything(call: str, hit: str) -> bool:
    """Return whether the subject of a failed call belongs to no single job."""
    if call.startswith("table."):
        return not hit.startswith(("job#", "limit#", "drop#"))
    return call.endswith((".depth", ".hide", ".key_version", ".newest"))


def any_fault(chance: random.Random, call: str, *, day: float = 24 * HOUR) -> Fault:
    """Return a fault of this call with a random kind, length and beginning."""
    error = chance.choice(list(errors_of(call)))
    return Fault(
        call,
        error,
        begins=chance.choice((0.0, chance.uniform(0, 3 * HOUR), chance.uniform(0, day))) // 60 * 60,
        lasts=chance.choice((HOUR / 2, 3 * HOUR, 30 * HOUR, 9 * day, inf)),
        after=may_fail_after(call, error) and chance.random() < 0.4,
        only=chance.choice((None, None, chance.randrange(4))),
    )
