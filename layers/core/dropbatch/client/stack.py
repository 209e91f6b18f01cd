"""A deployed stack, as the people use it who drop files: put, wait, results, cost, markers.

stack = Stack.find()
upload = stack.put("reviews.csv", recipe="recipe.yaml")
run = stack.wait(upload)
rows = list(stack.results(run))
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dropbatch.adapters.dynamodb import DynamoTable
from dropbatch.adapters.s3 import S3Objects
from dropbatch.adapters.user_session import UserSession
from dropbatch.client import costs, downloads, markers, results, watching
from dropbatch.client.aws_errors import translating
from dropbatch.client.costs import MonthCost
from dropbatch.client.downloads import Downloaded
from dropbatch.client.errors import NotReachableError, WrongUseError
from dropbatch.client.finding import find_outputs
from dropbatch.client.markers import Marked
from dropbatch.client.recipes import read_local_recipe
from dropbatch.client.runs import JobEntry, Run, Upload
from dropbatch.client.uploads import Progress, S3Uploads, Uploads
from dropbatch.domain.errors import DropRejectedError, ObjectNotFoundError
from dropbatch.domain.markers import MarkerKind
from dropbatch.domain.spending import KINDS
from dropbatch.formats.file_types import file_type
from dropbatch.ports import Objects, Table
from dropbatch.storage.objects import read_object
from dropbatch.storage.recipe_text import beside, nearest_recipe
from dropbatch.storage.repository import Repository


@dataclass(frozen=True)
class Stack:
    """A deployed stack. `Stack.find()` returns one that uses the credentials that boto3 finds.

    `service` returns boto3's client of a service, for what only administrators do. All calls raise a
    `DropbatchClientError` whose text is a sentence for people.
    """

    name: str
    outputs: Mapping[str, str]
    objects: Objects
    uploads: Uploads
    table: Callable[[], Table]
    service: Callable[[str], Any]
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], object] = field(default=time.sleep)

    @classmethod
    def find(cls, name: str | None = None, *, region: str | None = None, profile: str | None = None) -> "Stack":
        """Return the stack of this name, or of the variable DROPBATCH_STACK, or the only one in account and region."""
        session = UserSession(region, profile)
        with_sentences = translating(session)

        def service(called: str) -> Any:
            return translating(with_sentences.client(called))

        def table() -> Table:
            client = with_sentences.client("dynamodb")
            found: Table = translating(DynamoTable(client, outputs["Table"]))
            return found

        name, outputs = find_outputs(service("cloudformation"), name)
        s3 = with_sentences.client("s3")
        uploads = translating(S3Uploads(s3))
        return cls(name, outputs, translating(S3Objects(s3)), uploads, table, service)

    @property
    def inbox(self) -> str:
        """The bucket that files are dropped into."""
        return self.outputs["InboxBucket"]

    @property
    def results_bucket(self) -> str:
        """The bucket of the answers."""
        return self.outputs["ResultsBucket"]

    @property
    def repository(self) -> Repository:
        """The table, for what only it says. Reading it needs rights of its own."""
        return Repository(self.table())

    def key(self, named: str) -> str:
        """Return the key that a person named: `s3://<inbox>/a/b.csv`, `/a/b.csv` and `a/b.csv` are the same.

        `/` is the top of the inbox. An empty name is refused: it is most likely a variable that is not set.
        """
        if not named.strip():
            raise WrongUseError("The key is empty: name a file, a folder with a slash at its end, or / for all files.")
        for bucket in (self.inbox, self.results_bucket):
            named = named.removeprefix(f"s3://{bucket}/")
        if named.startswith("s3://"):
            raise WrongUseError(f"{named} is not in the inbox of the stack {self.name}, which is s3://{self.inbox}/.")
        return named.lstrip("/")

    def _file(self, named: str) -> str:
        """Return the key of a file, and not of a folder."""
        key = self.key(named)
        if watching.is_folder(key):
            raise WrongUseError(f"{key or '/'} is a folder: `dropbatch status {key or '/'}` lists the files in it.")
        return key

    def put(
        self,
        file: str | Path,
        *,
        to: str | None = None,
        recipe: str | Path | None = None,
        labels: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Upload:
        """Upload a file into a folder of the inbox, and return what to wait for.

        The folder is by default the file's name without its endings. With `recipe`, upload that recipe into the
        folder first, with the files that it names, unless the folder has the same ones already. `labels` are metadata
        that come back in `summary.json`. `progress` gets how many bytes are sent, and how many there are.
        """
        path = Path(file)
        if not path.is_file():
            raise WrongUseError(f"There is no file {path}.")
        key = self.key_for(path, to)
        written = self._put_recipe(key, Path(recipe)) if recipe is not None else False
        version = self.uploads.put_file(self.inbox, key, path, progress, labels or {})
        return Upload(key, version, recipe_written=written)

    def key_for(self, file: Path, to: str | None = None) -> str:
        """Return the key that `put` gives to a file."""
        try:
            kind = file_type(file.name)
        except DropRejectedError as error:
            raise WrongUseError(error.problems.kept[0].message) from error
        folder = kind.stem if to is None else self.key(to or "/").strip("/")
        if {".", ".."} & set(folder.split("/")):
            raise WrongUseError(f"{to} is not a folder of the inbox: name it from the top, as in reviews/2026.")
        return f"{folder}/{file.name}" if folder else file.name

    def has_recipe(self, key: str) -> bool:
        """Return whether there is a recipe for a key in the inbox; also if nobody may know that."""
        try:
            return nearest_recipe(self.objects, self.inbox, key) is not None
        except (DropRejectedError, NotReachableError):
            return True

    def _put_recipe(self, key: str, path: Path) -> bool:
        """Upload a recipe and its files beside a key, those that differ. Return whether there were any."""
        recipe, written = read_local_recipe(path), False
        for name, data in recipe.objects.items():
            target = beside(key, name)
            if not self._has(target, data):
                self.uploads.put(self.inbox, target, data)
                written = True
        return written

    def _has(self, key: str, data: bytes) -> bool:
        try:
            if self.objects.head(self.inbox, key).size != len(data):
                return False
            return read_object(self.objects, self.inbox, key) == data
        except (ObjectNotFoundError, NotReachableError):
            return False

    def wait(
        self,
        upload: Upload,
        *,
        timeout: float | None = None,
        stop_if_held: bool = True,
        on_change: Callable[[Run], object] = lambda _: None,
    ) -> Run:
        """Wait until the run of just this upload has ended, never an older one, and return it.

        If it waits for a decision of a person, return it, too, unless `stop_if_held` is false. `on_change` gets the run
        when something about it has changed. Raise NotDoneError after `timeout` seconds.
        """
        return watching.wait(self, upload, timeout, stop_if_held=stop_if_held, on_change=on_change)

    def follow(
        self,
        run: Run,
        *,
        timeout: float | None = None,
        stop_if_held: bool = True,
        on_change: Callable[[Run], object] = lambda _: None,
    ) -> Run:
        """Wait until a run has ended that has begun before, as `wait` does."""
        return watching.follow(self, run, timeout, stop_if_held=stop_if_held, on_change=on_change)

    def run_of(self, upload: Upload) -> Run | None:
        """Return the run of an upload as it is now; None if Dropbatch has not written anything about it yet."""
        return watching.run_of(self, upload)

    def run(self, key: str, number: int | str | None = None) -> Run:
        """Return the newest run of a file, or the one with this number or job id."""
        return watching.run(self, self._file(key), number)

    def runs(self, key: str) -> Sequence[Run]:
        """Return the runs of a file, the oldest first."""
        return watching.runs(self, self._file(key))

    def newest_runs(self, folder: str) -> Iterator[Run]:
        """Yield the newest run of each file below a folder (`lake/`, or `/` for all) that has one."""
        return watching.newest_runs(self, self.key(folder))

    def jobs(self, prefix: str = "") -> Sequence[JobEntry]:
        """Return the jobs of the stack, newest first: the last 500, or those below a folder."""
        return watching.jobs(self, self.key(prefix or "/"))

    def results(self, run: Run) -> Iterator[dict[str, Any]]:
        """Yield the rows of a run with their answers, in order, from the file of answers in whatever format it is.

        A run of ready requests has no such file: yield OpenAI's responses.
        """
        return results.rows_of(self, run)

    def download(
        self,
        run: Run,
        to: str | Path,
        *,
        only: Sequence[str] = (),
        progress: Callable[[str, int, int], object] = lambda *_: None,
    ) -> Sequence[Downloaded]:
        """Download the results of a run into a folder, and continue where an earlier download was broken off.

        `only` names some of them (`answers`, `failed`, `report.html`); by default all are downloaded.
        """
        return downloads.download(self, run, Path(to), only, progress)

    def cost(self, months: int = 1, by: Sequence[str] = KINDS) -> Sequence[MonthCost]:
        """Return what the last months have cost, the present one first. It reads the table (dynamodb:Query)."""
        return costs.months(self.repository, self.clock(), months, by)

    def openai_key(self) -> str:
        """Return the API key that the stack stores. Reading it needs a right of its own."""
        secret = self.outputs["OpenAISecretArn"]
        return str(self.service("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]).strip()

    def openai_url(self) -> str:
        """Return the address of the server that answers; empty for OpenAI's own, or if nobody may know it."""
        name = self.outputs.get("SubmitFunction", "")
        try:
            found = self.service("lambda").get_function_configuration(FunctionName=name)
        except NotReachableError:
            return ""
        return str(found.get("Environment", {}).get("Variables", {}).get("OPENAI_BASE_URL", ""))

    def approve(self, key: str) -> Sequence[Marked]:
        """Continue the run of a file, or the runs of a folder (`lake/`), that wait for an approval."""
        return markers.mark(self, MarkerKind.APPROVE, self.key(key))

    def cancel(self, key: str) -> Sequence[Marked]:
        """Stop the open runs of a file or a folder."""
        return markers.mark(self, MarkerKind.CANCEL, self.key(key))

    def retry(self, key: str) -> Sequence[Marked]:
        """Send the rows without a good answer again, those of a file or of all files of a folder."""
        return markers.mark(self, MarkerKind.RETRY, self.key(key))

    def rerun(self, key: str) -> Sequence[Marked]:
        """Send all rows again with today's recipe, those of a file or of all files of a folder."""
        return markers.mark(self, MarkerKind.RERUN, self.key(key))
