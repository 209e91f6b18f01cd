"""Connects every port to the stack that the settings name.

What no call needs yet is not loaded: botocore makes the clients, each when it is first asked for something, for boto3
would take 60 ms more at the start of every function.
"""

from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.session import Session

from dropbatch.adapters.dynamodb import DynamoTable
from dropbatch.adapters.openai import OpenAIBatches
from dropbatch.adapters.s3 import S3Objects
from dropbatch.adapters.secrets import KeySecret
from dropbatch.adapters.sns import SnsTopics
from dropbatch.adapters.sqs import SqsDeadLetters, SqsQueue
from dropbatch.domain.limits import Limits
from dropbatch.ports import Buckets, Observer, World
from dropbatch.settings import Settings

_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=5, read_timeout=30)

_S3_CONFIG = _CONFIG.merge(Config(read_timeout=60))
"""A copy of 256 MiB within S3 may be answered when it is done: this waits for one at 5 MB a second."""


def connect(
    settings: Settings,
    *,
    observer: Observer,
    clock: Callable[[], float],
    scratch: Path,
    new_token: Callable[[], str],
) -> World:
    """A World on AWS and OpenAI, with no limit of its own on an invocation's time."""
    session = Session()

    def client(service: str, config: Config = _CONFIG) -> Any:
        return session.create_client(service, region_name=settings.aws_region, config=config)

    def secrets() -> Any:
        from aws_lambda_powertools.utilities.parameters import SecretsProvider

        return SecretsProvider(boto3_client=client("secretsmanager"))

    s3 = _later(partial(client, "s3", _S3_CONFIG))
    sqs, sns = (_later(partial(client, service)) for service in ("sqs", "sns"))
    dead_letters = {
        "intake": settings.intake_dead_letters_url,
        "dispatch": settings.dispatch_dead_letters_url,
        "collect": settings.collect_dead_letters_url,
        "drop_events": settings.drop_event_dead_letters_url,
    }
    return World(
        objects=S3Objects(s3),
        table=DynamoTable(client("dynamodb"), settings.table),
        intake=SqsQueue(sqs, settings.intake_queue_url),
        dispatch=SqsQueue(sqs, settings.dispatch_queue_url),
        collect=SqsQueue(sqs, settings.collect_queue_url),
        dead_letters={name: SqsDeadLetters(sqs, url) for name, url in dead_letters.items()},
        topics=SnsTopics(sns, settings.notifications_topic_arn, settings.events_topic_arn, settings.alarms_topic_arn),
        openai=OpenAIBatches(KeySecret(_later(secrets), settings.openai_secret_arn), settings.openai_base_url),
        observer=observer,
        buckets=Buckets(settings.inbox_bucket, settings.results_bucket, settings.work_bucket),
        clock=clock,
        seconds_left=lambda: float("inf"),
        scratch=scratch,
        new_token=new_token,
        settle_seconds=settings.settle_seconds,
        recipe_wait_seconds=settings.recipe_wait_seconds,
        hold_above_rows=settings.hold_above_rows,
        limits=Limits(line_bytes=settings.max_line_megabytes << 20, drop_bytes=settings.max_drop_gigabytes * 10**9),
        token_limits=settings.token_limits,
        region=settings.aws_region,
        secret_name=settings.openai_secret_arn,
        zone=settings.zone,
    )


def _later(make: Callable[[], Any]) -> Any:
    return _Later(make)


class _Later:
    """What is made when it is first asked for something: a client takes 10 to 60 ms, and no function needs all."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    @cached_property
    def _made(self) -> Any:
        return self._make()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)
