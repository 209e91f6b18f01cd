"""Connection of each port to the stack that the settings name."""

from collections.abc import Callable
from pathlib import Path

from dropbatch.adapters.clients import Clients
from dropbatch.adapters.dynamodb import DynamoTable
from dropbatch.adapters.eventbridge import DefaultBus
from dropbatch.adapters.openai import OpenAIBatches
from dropbatch.adapters.s3 import S3Objects
from dropbatch.adapters.secrets import KeySecret
from dropbatch.adapters.sns import SnsTopics
from dropbatch.adapters.sqs import SqsDeadLetters, SqsQueue
from dropbatch.batch_api.limits import Limits
from dropbatch.entrypoints.settings import Settings
from dropbatch.ports import Observer
from dropbatch.storage.context import Buckets, Context


def connect(
    settings: Settings,
    *,
    observer: Observer,
    clock: Callable[[], float],
    scratch: Path,
    new_token: Callable[[], str],
) -> Context:
    """Return a Context on AWS and OpenAI, without a limit on an invocation's time."""
    clients = Clients(settings.aws_region)
    sqs = clients.later("sqs")
    dead_letters = {
        "intake": settings.intake_dead_letters_url,
        "dispatch": settings.dispatch_dead_letters_url,
        "collect": settings.collect_dead_letters_url,
        "drop_events": settings.drop_event_dead_letters_url,
    }
    openai = OpenAIBatches(
        KeySecret(clients.later("secretsmanager"), settings.openai_secret_arn),
        settings.openai_base_url,
        file_days=settings.openai_file_days,
    )
    return Context(
        objects=S3Objects(clients.later("s3")),
        table=DynamoTable(clients.client("dynamodb"), settings.table),
        intake=SqsQueue(sqs, settings.intake_queue_url),
        dispatch=SqsQueue(sqs, settings.dispatch_queue_url),
        collect=SqsQueue(sqs, settings.collect_queue_url),
        dead_letters={name: SqsDeadLetters(sqs, url) for name, url in dead_letters.items()},
        topics=SnsTopics(
            clients.later("sns"), settings.notifications_topic_arn, settings.events_topic_arn, settings.alarms_topic_arn
        ),
        bus=DefaultBus(clients.later("events")),
        openai=openai,
        observer=observer,
        buckets=Buckets(settings.inbox_bucket, settings.results_bucket, settings.work_bucket),
        clock=clock,
        seconds_left=lambda: float("inf"),
        scratch=scratch,
        new_token=new_token,
        absence_confirmation_seconds=settings.absence_confirmation_seconds,
        recipe_wait_seconds=settings.recipe_wait_seconds,
        max_job_usd=settings.max_job_cost or None,
        max_month_usd=settings.max_monthly_cost or None,
        limits=Limits(line_bytes=settings.max_line_megabytes << 20, drop_bytes=settings.max_drop_gigabytes * 10**9),
        token_limits=settings.token_limits,
        openai_file_days=settings.openai_file_days,
        region=settings.aws_region,
        openai_base_url=settings.openai_base_url,
        secret_name=settings.openai_secret_arn,
        zone=settings.zone,
        answering=openai if settings.try_at_once else None,
    )
