"""Connects every port to the stack that the settings name."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from botocore.config import Config

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


def connect(
    settings: Settings,
    *,
    observer: Observer,
    clock: Callable[[], float],
    scratch: Path,
    new_token: Callable[[], str],
) -> World:
    """A World on AWS and OpenAI, with no limit of its own on an invocation's time."""
    session = boto3.session.Session()
    s3, sqs, sns, secrets = (_later(session, name) for name in ("s3", "sqs", "sns", "secretsmanager"))
    key = KeySecret(SecretsProvider(boto3_client=secrets), settings.openai_secret_arn)
    return World(
        objects=S3Objects(s3),
        table=DynamoTable(session.client("dynamodb", config=_CONFIG), settings.table),
        intake=SqsQueue(sqs, settings.intake_queue_url),
        dispatch=SqsQueue(sqs, settings.dispatch_queue_url),
        collect=SqsQueue(sqs, settings.collect_queue_url),
        dead_intake=SqsDeadLetters(sqs, settings.intake_dead_letters_url),
        topics=SnsTopics(sns, settings.notifications_topic_arn, settings.events_topic_arn),
        openai=OpenAIBatches(key, settings.openai_base_url),
        observer=observer,
        buckets=Buckets(settings.inbox_bucket, settings.results_bucket, settings.work_bucket),
        clock=clock,
        seconds_left=lambda: float("inf"),
        scratch=scratch,
        new_token=new_token,
        settle_seconds=settings.settle_seconds,
        recipe_wait_seconds=settings.recipe_wait_seconds,
        limits=Limits(line_bytes=settings.max_line_megabytes << 20, drop_bytes=settings.max_drop_gigabytes * 10**9),
        token_limits=settings.token_limits,
        region=settings.aws_region,
        secret_name=settings.openai_secret_arn,
    )


class _Later:
    """A client that is made when it is first asked for something: each takes 10 to 60 ms, and no function needs all."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    @cached_property
    def _client(self) -> Any:
        return self._make()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def _later(session: boto3.session.Session, service: Any) -> Any:
    return _Later(lambda: session.client(service, config=_CONFIG))
