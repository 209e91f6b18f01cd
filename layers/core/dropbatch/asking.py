"""Which requests a job's rows become: a function of rows and recipe alone, so that they can be built at any time."""

from collections.abc import Iterator
from dataclasses import replace

from dropbatch.domain.errors import RowRejected
from dropbatch.domain.jobs import Batch, Job, Shard
from dropbatch.domain.problems import Problem
from dropbatch.formats.kinds import file_type
from dropbatch.formats.layout import Layout
from dropbatch.formats.raw import raw_custom_id, raw_request
from dropbatch.formats.reading import Record
from dropbatch.jobfiles import AskedRow, JobFiles
from dropbatch.ports import World
from dropbatch.recipes.compiling import CompiledRecipe
from dropbatch.requests import Request


class Asker:
    """Turns rows into requests by a recipe, or, without one, takes them as the ready requests of a raw drop."""

    def __init__(self, recipe: CompiledRecipe | None) -> None:
        self._recipe = recipe

    def request(self, record: Record) -> Request | None:
        """The row's request, or None where `when` is empty; RowRejected, with the row's line, where it is bad."""
        if record.problem is not None:
            raise RowRejected(record.problem)
        try:
            if self._recipe is None:
                return raw_request(record).request
            return self._recipe.request(record.values or {})
        except RowRejected as rejected:
            raise RowRejected(*(_in_line(record.line, problem) for problem in rejected.problems)) from rejected


def _in_line(line: int, problem: Problem) -> Problem:
    if problem.line is not None:
        return problem
    message = f"Line {line}, {problem.message[0].lower()}{problem.message[1:]}"
    return replace(problem, line=line, message=message)


class JobRows:
    """What is read of a job's files to understand its rows."""

    def __init__(self, world: World, job: Job) -> None:
        self.job = job
        self.files = JobFiles(world.objects, world.buckets.work, job.id)
        recipe = self.files.recipe()
        self.compiled: CompiledRecipe | None = recipe.compiled() if recipe else None
        self.layout: Layout = self.files.layout()
        self.asker = Asker(self.compiled)
        self.compression = file_type(job.drop.key).compression

    def asked(self, shard: Shard, batch: Batch) -> Iterator[tuple[AskedRow, Request]]:
        """The rows that the batch asks, in order, with their requests."""
        listed = self.files.rows(batch)
        upcoming = next(listed, None) if listed is not None else None
        for record in self.files.records(shard, self.layout):
            if listed is not None:
                if upcoming is None:
                    return
                if record.number != upcoming.number:
                    continue
            try:
                request = self.asker.request(record)
            except RowRejected:
                request = None  # a bad row of a recipe that skips them
            if request is not None and (request.endpoint, request.model) == (batch.endpoint, batch.model):
                yield upcoming or AskedRow(record.number, 0), request
            if listed is not None:
                upcoming = next(listed, None)

    def custom_id(self, record: Record) -> str:
        """What stands as `custom_id` in responses.jsonl: the user's own, the row's label, or its number."""
        if self.compiled is None:
            return raw_custom_id(record) or str(record.number)
        return (self.compiled.label(record.values) if record.values else None) or str(record.number)
