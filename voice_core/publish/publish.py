"""Publishing: one commit that makes a hub's branch hold the dataset, with just what changed in it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from voice_core.compute import progress
from voice_core.corpus.dataset.publications import find_published, write_published
from voice_core.layout import DatasetLayout
from voice_core.publish.difference import (
    RECORD,
    Difference,
    LocalFile,
    RemoteFile,
    compare,
    known_files,
    read_record,
    slices,
)
from voice_core.publish.errors import ForeignChangeError, HubAccessError, HubConflictError, HubError
from voice_core.publish.finished import UnfinishedError, collect
from voice_core.settings import ConfigurationError, Settings
from voice_core.storage.distributed_lock import held
from voice_core.storage.scratch import Scratch, open_scratch
from voice_core.storage.store import Store

if TYPE_CHECKING:
    from voice_core.publish.hub import Head, HubRepo

_ATTEMPTS = 5
_SLICE_BYTES = 2_000_000_000  # uploaded together: what a kill may cost
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Publication:
    """What was done, or in a dry run would be. `revision` is the branch's commit now; empty if there is none yet."""

    repo_id: str
    branch: str
    url: str
    difference: Difference
    revision: str
    committed: bool
    creates: bool  # the repository or the branch was still to be made
    files_sent: int = 0  # large files that went over the wire, and their size
    bytes_sent: int = 0

    @property
    def link(self) -> str:
        return f"{self.url}/tree/{self.revision or self.branch}"


def open_hub(settings: Settings) -> "HubRepo":
    """The repository of the settings. Raises `ConfigurationError` where none is named or the client is missing."""
    if not settings.hub.repo_id:
        raise ConfigurationError("nothing says where to publish: set VOICE_HUB__REPO_ID, such as my-team/my-voices")
    if settings.hub.repo_id.count("/") != 1:
        raise ConfigurationError("VOICE_HUB__REPO_ID must look like my-team/my-voices")
    try:
        from voice_core.publish.hub import HubRepo
    except ImportError:
        raise ConfigurationError("publishing needs the extra `hub`: pip install 'voice-data-factory[hub]'") from None
    return HubRepo(settings.hub.repo_id, settings.hub.revision)


def publish(
    work: Store, settings: Settings, *, dry_run: bool = False, overwrite: bool = False, create: bool = True
) -> Publication:
    """Make the branch of the settings hold the dataset that is committed in the work root.

    Files of others stay. What others changed of ours is overwritten with `overwrite` only. A dry run writes nothing,
    neither there nor here. Without `create`, a repository that is not there is an error.

    Raises:
        UnfinishedError: the dataset is not in a state to be published.
        ForeignChangeError: somebody else changed what would be overwritten or deleted.
        HubError: the hub cannot be reached, refuses, or its branch does not stand still.
    """
    hub = open_hub(settings)
    name = f"{DatasetLayout(settings.dataset).root}published"
    if dry_run:
        with hub:
            return _Publisher(work, settings, hub, overwrite, create).look()
    with held(work, name) as work, hub:
        return _Publisher(work, settings, hub, overwrite, create).run()


class _Publisher:
    def __init__(self, work: Store, settings: Settings, hub: "HubRepo", overwrite: bool, create: bool) -> None:
        self._work, self._settings, self._hub = work, settings, hub
        self._overwrite, self._create = overwrite, create
        self._files = collect(work, settings)
        self._files_sent = self._bytes_sent = 0

    def look(self) -> Publication:
        head = self._hub.head()
        self._refuse_public(head)
        difference = self._compare(head)
        return self._publication(difference, head.revision if head else "", creates=not (head and head.revision))

    def run(self) -> Publication:
        head = self._hub.head()
        creates = head is None or not head.revision
        self._refuse_public(head)
        tried: Difference | None = None
        for _ in range(_ATTEMPTS):
            ready = self._ready(head)
            difference = self._compare(ready)
            self._refuse_foreign(difference, ready)
            if difference.empty:
                # After a try, the answer was lost on its way: the commit had been made.
                self._note(ready.revision)
                done = tried or difference
                return self._publication(done, ready.revision, creates=creates, committed=tried is not None)
            self._send([file for file in difference.uploads if file.data is None])
            try:
                revision = self._commit(difference, ready.revision)
            except HubConflictError:
                tried, head = difference, self._hub.head()
                continue
            self._note(revision)
            return self._publication(difference, revision, creates=creates, committed=True)
        raise HubConflictError(
            f"{self._hub.url}: the branch {self._hub.branch} moved {_ATTEMPTS} times while this was being published; "
            "what was uploaded is kept, so try again when others are done"
        )

    def _ready(self, head: "Head | None") -> "Head":
        """The branch, made if it is not there."""
        if head is None and self._create:
            self._work.verify_claim()
            self._hub.create_repository(private=self._settings.hub.private)
            head = self._hub.head()
        if head is None:
            why = "is there, and this token may not see it" if self._create else "is gone, or this token may not see it"
            raise HubAccessError(f"{self._hub.url} {why}: check whose token it is")
        if head.revision:
            return head
        self._work.verify_claim()
        self._hub.create_branch()
        head = self._hub.head()
        if head is None or not head.revision:
            raise HubError(f"{self._hub.url}: the branch {self._hub.branch} was made and cannot be seen; try again")
        return head

    def _publication(
        self, difference: Difference, revision: str, *, creates: bool, committed: bool = False
    ) -> Publication:
        hub = self._hub
        return Publication(
            hub.repo_id,
            hub.branch,
            hub.url,
            difference,
            revision,
            committed,
            creates,
            self._files_sent,
            self._bytes_sent,
        )

    def _compare(self, head: "Head | None") -> Difference:
        remote: dict[str, RemoteFile] = {}
        records = []
        if head is not None and head.revision:
            remote = self._hub.tree(head.revision)
            if RECORD in remote and not remote[RECORD].sha256:
                records = read_record(self._hub.read(RECORD, head.revision))
                if records:  # a list of ours, then so is the file itself
                    records.append({"path": RECORD, "sha256": remote[RECORD].identity})
        hub = self._hub
        published = find_published(self._work, self._settings, (hub.endpoint, hub.repo_id, hub.branch))
        return compare(self._files, remote, known_files([*records, *(published.files if published else ())]))

    def _refuse_public(self, head: "Head | None") -> None:
        if head is not None and self._settings.hub.private and not head.private:
            raise ConfigurationError(
                f"{self._hub.url} is public, and hub.private asks for a private repository: set "
                "VOICE_HUB__PRIVATE=false if everybody may have this dataset"
            )

    def _refuse_foreign(self, difference: Difference, head: "Head") -> None:
        if difference.foreign and not self._overwrite:
            more = f" and {len(difference.foreign) - _NAMED} more" if len(difference.foreign) > _NAMED else ""
            raise ForeignChangeError(
                f"somebody else put or changed {', '.join(difference.foreign[:_NAMED])}{more} in "
                f"{self._hub.url}/tree/{head.revision}: keep what matters of it, then publish with --overwrite"
            )

    def _send(self, files: Sequence[LocalFile]) -> None:
        """Upload those large files that the hub does not have yet, in slices."""
        there = self._hub.already_there(files)
        missing = {file.sha256: file for file in files if file.sha256 not in there}
        scratch = open_scratch(self._settings) if self._work.local_root is None else None
        limit_bytes = min(_SLICE_BYTES, scratch.budget_bytes) if scratch else _SLICE_BYTES
        with progress.track("uploading", sum(file.size for file in missing.values()) / 1e6, "MB") as bar:
            for part in slices(missing.values(), limit_bytes):
                with self._at_hand(part, scratch) as paths:
                    self._work.verify_claim()
                    self._hub.upload(dict(zip(paths, part, strict=True)))
                self._files_sent += len(part)
                self._bytes_sent += sum(file.size for file in part)
                bar.advance(sum(file.size for file in part) / 1e6)

    @contextmanager
    def _at_hand(self, files: Sequence[LocalFile], scratch: Scratch | None) -> Iterator[list[Path]]:
        """Files on this machine's disk, each found to be what was committed: the hub only compares sizes for sure."""
        if scratch is None:
            root = self._work.local_root
            assert root is not None
            for file in files:
                self._require(file, self._work.hash(file.key))
            yield [root / file.key for file in files]
            return
        with scratch.room(sum(file.size for file in files), files[0].key) as room:
            paths = {file.key: room / f"{number}.parquet" for number, file in enumerate(files)}
            found = self._work.each(lambda key: self._work.download(key, paths[key]), paths)
            for file, digest in zip(files, found, strict=True):
                self._require(file, digest)
            yield list(paths.values())

    def _require(self, file: LocalFile, digest: str) -> None:
        if digest != file.sha256:
            raise UnfinishedError(
                f"{self._work.url}/{file.key} is not the file that was committed: it is being built again, or it is "
                "spoilt and `voice build --verify` mends it"
            )

    def _commit(self, difference: Difference, parent: str) -> str:
        counts = {"added": difference.added, "changed": difference.changed, "deleted": difference.deleted}
        told = ", ".join(f"{len(items)} {verb}" for verb, items in counts.items() if items)
        self._work.verify_claim()
        return self._hub.commit(
            uploads=difference.uploads,
            deleted=difference.deleted,
            parent=parent,
            title=f"{self._settings.dataset}: {told}",
            description="",
        )

    def _note(self, revision: str) -> None:
        hub = self._hub
        write_published(
            self._work,
            self._settings,
            (hub.endpoint, hub.repo_id, hub.branch),
            revision,
            (file.as_record() for file in self._files),
        )
