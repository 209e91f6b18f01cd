"""Deletes the files of ended jobs at OpenAI: those of requests, and those of answers that were collected.

A job has its results by then, and its notification is sent without waiting for this. The poll makes a bounded number of
calls, shared by the jobs, and a call that fails is retried later. OpenAI deletes each file by its expiry in any case:
after that time the job's files are not deleted any more.
"""

from collections.abc import Iterator, Sequence

from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import ErrorKind, OpenAIError, OpenAINotFoundError
from dropbatch.domain.jobs import Job, RemoteFiles
from dropbatch.domain.states import TERMINAL, BatchState
from dropbatch.jobs.backoff import backoff_seconds
from dropbatch.polling.time_shares import has_time
from dropbatch.storage.context import Context

MAX_CALLS = 150
"""How many calls a poll makes to delete files. A day has room for 216,000: OpenAI lets an account create 48,000 batches
a day, with three files each."""

MAX_FAILED = 500
"""How many batches of a job wait for another try at most. Then the next ones wait, too."""

DAY_SECONDS = 86_400


def delete_remote_files(context: Context, jobs: Sequence[Job]) -> None:
    """Delete files of the ended jobs that are due, each with its share of the calls."""
    now = context.now()
    due = [job for job in jobs if job.remote_files is not None and job.remote_files.not_before <= now]
    if not due:
        return
    first = now // 60 % len(due)
    calls = MAX_CALLS
    for number, listed in enumerate(due[first:] + due[:first]):
        share = calls // (len(due) - number)
        if not has_time(context):
            return
        job = context.repository.reload(listed)
        if job is None or job.remote_files is None:
            continue
        deletion = _Deletion(context, job, job.remote_files, max(1, share))
        goes_on = True
        try:
            goes_on = deletion.run()
        except Exception:  # noqa: BLE001 - one job that fails must not stop the others
            context.observer.exception("files of an ended job at OpenAI could not be deleted", job_id=job.id)
            deletion.put_off()
        deletion.save()
        calls -= deletion.calls
        if not goes_on or calls <= 0:
            return


class _Deletion:
    """One poll's part of the deletion of a job's files. `calls` counts its calls, to OpenAI and for shards."""

    def __init__(self, context: Context, job: Job, files: RemoteFiles, most: int) -> None:
        self._context, self._job, self._files, self._most = context, job, files, most
        self._is_done = False
        self.calls = 0

    def run(self) -> bool:
        """Delete files batch by batch; False if OpenAI answers no call now, of whichever job."""
        if self._context.now() > (self._job.ended_at or 0) + self._context.openai_file_days * DAY_SECONDS:
            self._finish("files at OpenAI are left to expire")
            return True
        for batch in self._batches():
            try:
                is_supported = self._delete(batch)
            except Exception as error:
                self._files.failed.append(batch.sort_key)
                if not isinstance(error, OpenAIError):
                    raise
                self.put_off()
                self._context.observer.warning(
                    "a file at OpenAI could not be deleted yet", code=error.code, kind=str(error.kind), **batch.ids
                )
                return error.kind in (ErrorKind.THING, ErrorKind.UNKNOWN)
            if not is_supported:
                self._finish("the server cannot delete files")
                return True
            self._files.failures = 0
            if self._is_over():
                return True
        return True

    def _is_over(self) -> bool:
        return self.calls >= self._most or not has_time(self._context)

    def _batches(self) -> Iterator[Batch]:
        """Yield the batches whose files are next, and record each as reached. At the end, the job is done."""
        files, repository = self._files, self._context.repository
        while files.shard < self._job.shards and len(files.failed) < MAX_FAILED:
            self.calls += 1
            for batch in repository.batches(self._job.id, files.shard):
                if batch.sort_key > files.after:
                    files.after = batch.sort_key
                    yield batch
            files.shard, files.after = files.shard + 1, ""
            if self._is_over():
                break
        else:
            for sort_key in tuple(files.failed):
                files.failed.remove(sort_key)
                batch_again = repository.batch(self._job.id, sort_key)
                if batch_again is not None:
                    yield batch_again
        if files.shard >= self._job.shards and not files.failed:
            self._finish("files at OpenAI are deleted")

    def _delete(self, batch: Batch) -> bool:
        """Delete a batch's files; False if the server cannot delete files."""
        return all(self._delete_file(file_id) for file_id in self._file_ids(batch))

    def _delete_file(self, file_id: str) -> bool:
        self.calls += 1
        return self._context.openai.delete_file(file_id)

    def _file_ids(self, batch: Batch) -> Iterator[str]:
        """Yield the files of a batch that nobody needs any more.

        A batch that was abandoned when it was, or may have been, at OpenAI may have paid answers that were never
        collected: all its files stay until they expire.
        """
        was_sent = batch.openai_id is not None or batch.creating_at is not None
        if batch.state is BatchState.COLLECTED or not was_sent:
            yield from filter(None, (batch.file_id, batch.output_file_id, batch.error_file_id))
        for double in batch.doubles:
            self.calls += 1
            try:
                remote = self._context.openai.retrieve(double)
            except OpenAINotFoundError:
                continue
            if remote.status not in TERMINAL:
                raise _NotEndedError("not_ended")
            yield from filter(None, (remote.output_file_id, remote.error_file_id))
            if remote.input_file_id != batch.file_id:
                yield remote.input_file_id

    def put_off(self) -> None:
        """Have a later poll continue, after a backoff."""
        self._files.failures += 1
        self._files.not_before = self._context.now() + backoff_seconds(self._files.failures)

    def _finish(self, why: str) -> None:
        self._is_done = True
        self._context.observer.info(why, job_id=self._job.id)

    def save(self) -> None:
        """Write how far the deletion has come. Only the poller writes it, under its lease."""

        def change(current: Job) -> bool:
            current.remote_files = None if self._is_done else self._files
            return True

        self._context.repository.update(self._job, change)


class _NotEndedError(OpenAIError):
    """A second batch of the same key is still being cancelled."""
