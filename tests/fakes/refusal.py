"""AWS's refusal of a call, as botocore raises it."""

from botocore.exceptions import ClientError


def refusal(operation: str, code: str, message: str, status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]  # what is read of it
        operation,
    )
