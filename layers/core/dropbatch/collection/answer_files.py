"""Fetches a batch's answer files."""

from collections.abc import Callable
from pathlib import Path

from dropbatch.domain.jobs import Batch
from dropbatch.jobfiles import JobFiles
from dropbatch.ports import World
from dropbatch.reconciling import AnswerLines


def fetch(
    world: World,
    files: JobFiles,
    batch: Batch,
    output_file_id: str | None,
    error_file_id: str | None,
    in_time: Callable[[], bool],
    shard: tuple[int, int] = (0, 0),
) -> AnswerLines | None:
    answers = AnswerLines(*shard)
    for name, file_id in (("output", output_file_id), ("error", error_file_id)):
        if file_id:
            path = Path(world.scratch) / f"{batch.results}.{name}"
            with world.openai.streaming(file_id) as download, path.open("wb") as out:
                for block in download.blocks():
                    out.write(block)
            answers.read(path)
    return answers
