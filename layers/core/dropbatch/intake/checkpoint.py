"""Checkpoints: how far the validation of a drop came when its invocation ran out of time."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from dropbatch.domain.problems import Problem, ProblemGroup
from dropbatch.formats.reading import Position
from dropbatch.formats.resumable_stream import ResumePoint
from dropbatch.intake.opening import Source
from dropbatch.intake.row_scan import RowScan
from dropbatch.intake.sharding import Sharded
from dropbatch.storage.job_files import JobFiles


@dataclass(slots=True)
class Checkpoint:
    """The state of a scan at the start of a row, and how to open the drop there."""

    layout: dict[str, Any]
    position: Position
    mark: ResumePoint
    sharded: Sharded
    rows: int
    limit: int | None
    skips_bad_rows: bool
    hopeless: bool
    problems: list[Problem] = field(default_factory=list)
    problems_total: int = 0
    groups: list[ProblemGroup] = field(default_factory=list)
    content: str | None = None  # hash of the drop's content, if it was read to the end
    skipped: dict[str, Any] | None = None  # the skipped rows
    seed: int | None = None  # the seed of a sample
    in_file: int | None = None  # how many rows the drop has, once they are counted
    counted: str | None = None  # hash of the content as the first of two passes read it


def write_checkpoint(
    files: JobFiles, scan: RowScan, source: Source, *, content: str | None, counted: str | None
) -> str:
    """Store how far a scan has come, and return the checkpoint's name. The scan's open shard is set aside."""
    position = scan.reader.position
    checkpoint = Checkpoint(
        layout=scan.reader.layout.to_json(),
        position=position,
        mark=source.mark(position.offset),
        sharded=scan.sharder.suspend(),
        rows=scan.rows,
        limit=scan.limit,
        skips_bad_rows=scan.skips_bad_rows,
        hopeless=scan.hopeless,
        problems=scan.problems.kept,
        problems_total=scan.problems.total,
        groups=scan.problems.groups,
        content=content,
        skipped=scan.skipped.to_json(),
        seed=scan.seed,
        in_file=scan.in_file,
        counted=counted,
    )
    name = scan.sharder.token
    if scan.ids is not None:
        files.keep_ids(name, scan.ids)
    if scan.repeats is not None and scan.repeats.digests is not None:
        files.keep_digests(name, scan.repeats.digests)
    files.keep_checkpoint(name, msgspec.json.encode(checkpoint))
    return name


def read_checkpoint(files: JobFiles, name: str) -> Checkpoint:
    """Return the checkpoint of this name."""
    return msgspec.json.decode(files.checkpoint(name), type=Checkpoint)
