"""The rows of a batch: one request each, and the lines that can answer it in the output and error files."""

import hashlib
from typing import Any

import orjson

from local.openai_emulator.answerers.request import Answer
from local.openai_emulator.errors import error_body
from local.openai_emulator.faults import FailRows
from local.openai_emulator.store import Batch, Tokens


class BatchRow:
    """One request of a batch, and the lines that can answer it."""

    def __init__(self, batch: Batch, number: int, raw: bytes, request: dict[str, Any]) -> None:
        self.batch = batch
        self.number = number
        self.raw = raw
        self.request = request
        self._id = hashlib.blake2b(f"{batch.id}/{number}".encode(), digest_size=16).hexdigest()

    def line(self, response: Answer, *, as_string: bool = False) -> bytes:
        """Write a line with a response, good or bad."""
        body = orjson.dumps(response.body).decode() if as_string else response.body
        request_id = self._id if response.status else ""
        return self._encoded(
            {"response": {"status_code": response.status, "request_id": request_id, "body": body}, "error": None}
        )

    def failure(self, fault: FailRows, *, as_string: bool) -> bytes:
        """Write the line of a row that a fault struck, in the fault's shape."""
        match fault.shape:
            case "status_zero":
                return self.line(Answer(0, {}, Tokens()), as_string=as_string)
            case "not_run":
                return self.not_run(fault.code, fault.message)
            case "no_response_member":
                return self._encoded({"error": {"code": fault.code, "message": fault.message}})
        return self.line(failed_answer(fault), as_string=as_string)

    def not_run(self, code: str, message: str) -> bytes:
        """Write the line of a row that was never run."""
        return self._encoded({"response": None, "error": {"code": code, "message": message}})

    def _encoded(self, members: dict[str, Any]) -> bytes:
        return orjson.dumps({"id": f"batch_req_{self._id}", "custom_id": self.request["custom_id"], **members}) + b"\n"


def failed_answer(fault: FailRows) -> Answer:
    """Return the error response of a row that a fault struck."""
    kind = "server_error" if fault.status >= 500 else "invalid_request_error"
    return Answer(fault.status, error_body(fault.message, code=fault.code, type_=kind), Tokens())
