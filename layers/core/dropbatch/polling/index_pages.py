"""Writes the index pages of the results bucket that have changed, each at most once a minute.

The table has the jobs to list, and which pages have changed. So a page that could not be written is written again, and
however many jobs change, a poll writes each page once.
"""

from dropbatch.domain.pages import JobPage, page_key
from dropbatch.jobs.backoff import backoff_seconds
from dropbatch.polling.time_shares import has_time
from dropbatch.ports import HTML, JSON
from dropbatch.storage.context import Context

MAX_LISTED = 500
"""How many jobs a page lists, the newest."""

PAGE_SECONDS = 50
"""How long after it was written a page may be written again: by the next poll, whose tick may be some seconds early."""


def write_pages(context: Context) -> None:
    """Write the pages that have changed, those first that have waited longest."""
    for page in context.repository.changed_pages():
        if not has_time(context):
            context.observer.info("the poll ran out of time; the next one writes the other pages")
            return
        if page.not_before > context.now():
            continue
        try:
            _write(context, page)
        except Exception:  # noqa: BLE001 - a page that cannot be written must not stop the others
            context.observer.exception("an index page could not be written; it is tried again")
            context.repository.update(page, lambda current: _put_off(context, current))


def _write(context: Context, page: JobPage) -> None:
    """Write a page as the table has it now. Changes that are listed from now on have it written again."""
    from dropbatch.reporting.index_page import index_html, index_json  # jinja2, which an idle poll does not load

    repository, folder = context.repository, page.folder
    begun = repository.update(page, lambda current: _begin(context, current))
    if begun is None:
        return  # the index was behind: it is written already
    jobs = list(repository.listed_jobs(folder, MAX_LISTED))
    put, bucket = context.objects.put, context.buckets.results
    put(bucket, page_key(folder, "index.json"), index_json(jobs), JSON, is_progress=True)
    put(bucket, page_key(folder), index_html(context, folder, jobs), HTML, is_progress=True)
    repository.update(begun, lambda current: _finish(context, current, begun.begun_at))


def _begin(context: Context, page: JobPage) -> bool:
    if not (page.changed_at or page.begun_at):
        return False
    page.begun_at, page.changed_at = context.now(), 0
    return True


def _finish(context: Context, page: JobPage, begun_at: int) -> bool:
    if page.begun_at != begun_at:  # another poll wrote it, too, and nobody knows whose page is there now
        page.changed_at = page.changed_at or context.now()
    page.begun_at = page.failures = 0
    page.not_before = context.now() + context.scaled(PAGE_SECONDS)
    return True


def _put_off(context: Context, page: JobPage) -> bool:
    page.failures += 1
    page.not_before = context.now() + context.scaled(backoff_seconds(page.failures))
    return True
