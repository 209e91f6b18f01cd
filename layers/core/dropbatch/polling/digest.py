"""Publishes the notices for people that wait in the outboxes of jobs: one message for many drops of a folder.

Notices wait until no other of their folder and kind came for a minute and a half, but ten minutes at most. A single
notice is published as it is, several as a digest. Only the poller publishes them, a group at a time, and removes each
from its job's outbox afterwards. A poller that is killed in between publishes some of them twice.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from dropbatch.domain.jobs import Job
from dropbatch.domain.outbox import DigestEntry
from dropbatch.jobs import outbox
from dropbatch.polling.time_shares import has_time
from dropbatch.ports import Audience, Notification
from dropbatch.reporting import digests
from dropbatch.reporting.digests import Part
from dropbatch.reporting.phrases import MAX_FOLDERS
from dropbatch.storage.context import Context

QUIET_SECONDS = 90
"""How long nothing is added to a group before it is published. The parts of an upload come closer together; jobs whose
batches ended together end a minute apart at most, as the polls do that have them collected."""

MAX_GATHER_SECONDS = 600
"""How long a group waits at most, whatever is added."""

ORDER = ("accepted", "held", "rejected", "duplicate", "ended")
"""The order of a job's notices."""

MAX_JOBS = 500
"""How many jobs a digest is about at most: taking them out of their outboxes takes some ten seconds."""


@dataclass(slots=True)
class Entry:
    """An entry of a job's outbox that waits."""

    job: Job
    name: str
    entry: DigestEntry


@dataclass(slots=True)
class Group:
    """The waiting entries of one kind in one folder: that of the recipe, if there is one."""

    entries: list[Entry] = field(default_factory=list)

    @property
    def first(self) -> int:
        return min(entry.entry.since for entry in self.entries)

    def is_due(self, context: Context) -> bool:
        now = context.now()
        last = max(entry.entry.since for entry in self.entries)
        return now - last >= context.scaled(QUIET_SECONDS) or now - self.first >= context.scaled(MAX_GATHER_SECONDS)


def send_digests(context: Context, jobs: Iterable[Job]) -> set[str]:
    """Publish the due entries that wait in the outboxes of these jobs; return the ids of the jobs they are about."""
    published: set[str] = set()
    for group in _due(context, jobs):
        for entries in _chunks(group):
            if not has_time(context):
                context.observer.info("the poll ran out of time; the next one sends the rest")
                return published
            try:
                published |= _publish(context, entries)
            except Exception:  # noqa: BLE001 - a folder with a digest that fails must not stop the others
                context.observer.exception("a digest could not be sent yet")
    return published


def _due(context: Context, jobs: Iterable[Job]) -> Iterator[Group]:
    """Yield the groups that are due, in order, each after the earlier entries of its jobs."""
    now = context.now()
    folders: dict[tuple[str, str], dict[str, Group]] = {}
    for job in jobs:
        folder = ("recipe", job.recipe_folder) if job.recipe_folder is not None else ("drop", job.drop.folder)
        for name, entry in job.digest_entries.items():
            if entry.notify_after > now:
                continue  # it failed a moment ago
            group = folders.setdefault(folder, {}).setdefault(entry.event, Group())
            group.entries.append(Entry(job, name, entry))
    for kinds in folders.values():
        due: list[Group] = []
        jobs_due: set[str] = set()
        for event in sorted(kinds, key=_place, reverse=True):
            group = kinds[event]
            if not group.is_due(context):
                group = Group([entry for entry in group.entries if entry.job.id in jobs_due])
            due += [group] if group.entries else []
            jobs_due |= {entry.job.id for entry in group.entries}
        yield from reversed(due)


def _place(event: str) -> int:
    return ORDER.index(event) if event in ORDER else len(ORDER)


def _chunks(group: Group) -> Iterator[list[Entry]]:
    """Cut a group into lists of entries that fit one digest each."""
    chunk: list[Entry] = []
    folders: set[str] = set()
    for entry in sorted(group.entries, key=lambda entry: entry.job.drop.key):
        folder = entry.job.drop.folder
        if len(chunk) == MAX_JOBS or (folder not in folders and len(folders) == MAX_FOLDERS):
            yield chunk
            chunk, folders = [], set()
        chunk.append(entry)
        folders.add(folder)
    yield chunk


def _publish(context: Context, listed: Sequence[Entry]) -> set[str]:
    """Publish these entries as one message, if they still wait, and remove them from their outboxes."""
    entries = []
    for entry in listed:
        job = context.repository.reload(entry.job)  # the index may lag behind
        if job is not None and entry.name in job.digest_entries and not _waits_for_another(job, entry.name):
            entries.append(Entry(job, entry.name, job.digest_entries[entry.name]))
    if not entries:
        return set()
    failed = False
    try:
        if len(entries) == 1:
            outbox.publish_entry(context, entries[0].job, entries[0].name)
        else:
            parts = [Part(entry.job, entry.entry) for entry in entries]
            context.topics.publish(Audience.PEOPLE, digests.digest(context, parts, _notices(context, entries, parts)))
    except Exception:  # noqa: BLE001 - whatever keeps SNS from it, it is tried again
        context.observer.exception("a notification could not be published; it is kept and tried again")
        failed = True
    published = set()
    for entry in entries:
        try:
            if failed:
                outbox.defer(context, entry.job, entry.name)
            else:
                outbox.remove(context, entry.job, (entry.name,))
        except Exception:  # noqa: BLE001 - one job that fails must not repeat the notices of all others
            context.observer.exception("a sent notification could not be removed from the outbox", job_id=entry.job.id)
        else:
            published.add(entry.job.id)
    return published


def _waits_for_another(job: Job, name: str) -> bool:
    """Return whether an earlier notice of the job is not published yet: it failed, and this one comes after it."""
    place = _place(job.digest_entries[name].event)
    is_urgent = any(entry.startswith(f"{Audience.PEOPLE}:") for entry in job.due_entries)
    return is_urgent or any(_place(entry.event) < place for entry in job.digest_entries.values())


def _notices(context: Context, entries: Sequence[Entry], parts: Sequence[Part]) -> dict[str, Notification]:
    """Return notices about the commonest reasons that are not about rows, one for each code."""
    names = {entry.job.id: entry.name for entry in entries}
    found = {}
    for reason, _, part in digests.explained(parts):
        if reason.outcome:
            continue
        try:
            found[reason.code] = outbox.read_notice(context, part.job, names[part.job.id])
        except Exception:  # noqa: BLE001 - the digest names the code instead
            context.observer.exception("a notice cannot be read; the digest does without it", job_id=part.job.id)
    return found
