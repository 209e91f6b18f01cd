"""The joining of a job's shards: the number of bytes that pass through the function for each byte of its results.

The use case runs with the real S3 adapter over moto. All bytes that it sends and receives count, including those of the
sums, the summary and the report.
"""

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dropbatch.adapters.s3 import S3Objects
from dropbatch.answers.tally import Tally
from dropbatch.batch_api.limits import Limits
from dropbatch.client.local.context import BUCKETS, folder_context
from dropbatch.delivery.assemble_job import assemble
from dropbatch.domain.drops import Drop
from dropbatch.domain.jobs import Job, Shard
from dropbatch.domain.outcomes import Outcome
from dropbatch.domain.states import JobState, ShardState
from dropbatch.formats.file_types import file_type
from dropbatch.formats.reading import read_drop
from dropbatch.ports import OpenAI
from dropbatch.storage.job_files import JobFiles
from dropbatch.storage.recipe_text import RecipeText

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MIB = 1_048_576
ANSWERS, RESPONSES, FAILED = 7 * MIB, 12 * MIB, 6 * MIB
"""The bytes of a shard's pieces: shards over 5 MB, of which nearly all or hardly any rows failed."""

RECIPE = b'model: m\nprompt: "{{ text }}"\n'
HEAD = b"text,answer,_status,_error\n"


def assembling() -> dict[str, float]:
    """Return the worst ratio of all kinds of jobs: csv and jsonl, few and many shards, few and many failures."""
    ratios = {}
    for extension in ("csv", "jsonl"):
        for shards in (2, 3, 8):
            for failed in (0, 200_000, FAILED):
                ratios[extension, shards, failed] = _ratio(extension, shards, failed)
    for (extension, shards, failed), ratio in ratios.items():
        print(f"  {shards} shards of a {extension}, {failed:>9,} bytes of failed rows each: {ratio:.4f}")
    return {"assemble_bytes_ratio": max(ratios.values())}


def _ratio(extension: str, shards: int, failed: int) -> float:
    import boto3  # noqa: TID251  # what is measured is the real adapter
    from moto import mock_aws

    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    with mock_aws(), tempfile.TemporaryDirectory() as folder:
        client = boto3.client("s3", region_name="us-east-1")
        for bucket in (BUCKETS.work, BUCKETS.results):
            client.create_bucket(Bucket=bucket)
        nobody = cast("OpenAI", None)  # joining asks OpenAI nothing
        context = replace(folder_context(Path(folder), nobody), objects=S3Objects(client))
        job = Job("the-job", Drop(BUCKETS.inbox, f"reviews.{extension}", "1", 0), 0, JobState.RUNNING, rows=2 * shards)
        context.repository.add(job)
        files = JobFiles(context.objects, BUCKETS.work, job.id)
        files.keep_recipe(RecipeText("recipe.yaml", RECIPE, {}))
        row = b"text\nx\n" if extension == "csv" else b'{"text": "x"}\n'
        drop = read_drop(iter([row]), file_type(job.drop.name), encoding=None, limits=Limits())
        list(drop.chunks())
        files.keep_layout(drop.layout)
        for number in range(shards):
            context.repository.add(Shard(job.id, number, 2 * number + 1, 1, 2, ShardState.RENDERED))
            _put_pieces(client, files, number, HEAD if extension == "csv" else b"", failed)
        passed = _record_sizes(client)
        assemble(context, job)
        ended = context.repository.job(job.id)
        assert ended is not None
        assert ended.state is (JobState.PARTIAL if failed else JobState.SUCCEEDED)
        found = client.list_objects_v2(Bucket=BUCKETS.results)["Contents"]
        return sum(passed) / sum(each["Size"] for each in found)


def _put_pieces(client: "S3Client", files: JobFiles, number: int, head: bytes, failed: int) -> None:
    """Put the files that rendering a shard writes."""
    tally = Tally()
    tally.count(2 * number + 1, Outcome.OK, None)
    tally.count(2 * number + 2, *((Outcome.ERROR, "bad") if failed else (Outcome.OK, None)))
    pieces: dict[str, Any] = {}
    for name, size, begins in (("answers", ANSWERS, head), ("responses", RESPONSES, b""), ("failed", failed, head)):
        if size:
            key = files.piece_key(number, name)
            client.put_object(Bucket=BUCKETS.work, Key=key, Body=begins + b"x" * (size - len(begins)))
            pieces[name] = [(key, len(begins), size)]
    stats = {"tally": tally.to_json(), "samples": [], "pieces": pieces}
    client.put_object(Bucket=BUCKETS.work, Key=files.piece_key(number, "stats.json"), Body=json.dumps(stats).encode())


def _record_sizes(client: "S3Client") -> Sequence[int]:
    """Return a list that grows by the size of each body that the client sends or receives."""
    sizes: list[int] = []

    def sent(request: Any, **_: Any) -> None:
        headers = request.headers  # a body with its checksum at the end goes out in chunks
        sizes.append(int(headers.get("X-Amz-Decoded-Content-Length") or headers.get("Content-Length", 0)))

    def received(http_response: Any, **_: Any) -> None:
        sizes.append(int(http_response.headers.get("Content-Length", 0)))

    client.meta.events.register("before-send.s3", sent)
    client.meta.events.register("after-call.s3.GetObject", received)
    return sizes


FIGURES = {"assemble_bytes_ratio": ("ratio", "≤ 0.05")}
