"""Publishing: one commit with the changed files, after which a branch at the hub holds the dataset."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from voice_core.compute import progress
from voice_core.corpus.dataset.publications import find_publication, write_publication
from voice_core.corpus.evicted import EvictedFiles
from voice_core.layout import DatasetLayout
from voice_core.publish.commit_message import publish_commit_message
from voice_core.publish.dataset_files import DatasetNotReadyError, collect_files, require_files
from voice_core.publish.difference import (
    HUB_RECORD,
    Copies,
    Difference,
    LocalFile,
    RemoteFile,
    compare_files,
    find_copies,
    group_identities,
    parse_hub_record,
    split_by_size,
)
from voice_core.publish.errors import HubAccessError, HubConflictError, HubError, RemoteChangedError
from voice_core.settings import ConfigurationError, Settings
from voice_core.stages.checks import list_first
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.scratch import Scratch, open_scratch
from voice_core.storage.store import Store

if TYPE_CHECKING:
    from voice_core.publish.hub import BranchHead, HubRepo

_MAX_BRANCH_MOVES = 5
_SLICE_BYTES = 2_000_000_000  # uploaded together, and again after an interruption
_EXTRA_MISSING = "publishing needs the extra `hub`: pip install 'voice-data-factory[hub]'"


@dataclass(frozen=True, slots=True)
class PublishResult:
    """What was done, or would be done in a dry run. `revision` is the branch's commit now; empty if there is none."""

    repo_id: str
    branch: str
    url: str
    difference: Difference
    revision: str
    committed: bool
    creates: bool  # whether the repository or the branch did not exist before
    files_sent: int = 0  # large files that the hub did not have, and their size
    bytes_sent: int = 0

    @property
    def commit_url(self) -> str:
        return f"{self.url}/tree/{self.revision or self.branch}"


def open_hub(settings: Settings) -> "HubRepo":
    """The repository of the settings. Raises `ConfigurationError` if none is set or the extra `hub` is missing."""
    if not settings.hub.repo_id:
        raise ConfigurationError("no repository is set: set VOICE_HUB__REPO_ID, such as my-team/my-voices")
    if settings.hub.repo_id.count("/") != 1:
        raise ConfigurationError("VOICE_HUB__REPO_ID must have the form my-team/my-voices")
    try:
        from voice_core.publish.hub import HubRepo
    except ImportError:
        raise ConfigurationError(_EXTRA_MISSING) from None
    return HubRepo(settings.hub.repo_id, settings.hub.revision)


def publish(
    work: Store, settings: Settings, *, dry_run: bool = False, overwrite: bool = False, create: bool = True
) -> PublishResult:
    """Publish the dataset that is committed in the work root to the branch of the settings.

    Files of other users are kept. Published files that others changed are overwritten only with `overwrite`. A dry run
    writes nothing, neither at the hub nor locally. Without `create`, a missing repository is an error.

    Raises:
        DatasetNotReadyError: the dataset cannot be published in this state, or `datasets` does not load it.
        RemoteChangedError: another user changed files that would be overwritten or deleted.
        HubError: the hub cannot be reached, refuses a request, or its branch keeps moving.
    """
    hub = open_hub(settings)
    name = f"{DatasetLayout(settings.dataset).root}published"
    if dry_run:
        with hub:
            return _Publisher(work, settings, hub, overwrite, create).preview()
    with hold_lock(work, name) as work, hub:
        return _Publisher(work, settings, hub, overwrite, create).run()


class _Publisher:
    def __init__(self, work: Store, settings: Settings, hub: "HubRepo", overwrite: bool, create: bool) -> None:
        self._work, self._settings, self._hub = work, settings, hub
        self._overwrite, self._create = overwrite, create
        self._files = collect_files(work, settings)
        self._files_sent = self._bytes_sent = 0
        self._list_files = lru_cache(maxsize=None)(hub.list_files)  # a revision does not change

    def preview(self) -> PublishResult:
        head = self._hub.head()
        self._refuse_public(head)
        difference = self._compare(head)
        self._find_copies(difference, head)  # raises what a publication would raise
        return self._publication(difference, head.revision if head else "", creates=not (head and head.revision))

    def run(self) -> PublishResult:
        head = self._hub.head()
        creates = head is None or not head.revision
        self._refuse_public(head)
        if not (wanted := self._compare(head)).empty:
            self._check_loads()
            self._find_copies(wanted, head)  # raises before anything is created
        tried: Difference | None = None
        for _ in range(_MAX_BRANCH_MOVES):
            ready = self._ensure_branch(head)
            difference = self._compare(ready)
            self._refuse_foreign(difference, ready)
            if difference.empty:
                # After an attempt: the commit was made, and the answer was lost.
                self._record_publication(ready.revision)
                done = tried or difference
                return self._publication(done, ready.revision, creates=creates, committed=tried is not None)
            copies = self._find_copies(difference, ready)
            self._upload_missing(
                [file for file in difference.uploads if file.data is None and file.sha256 not in copies]
            )
            try:
                revision = self._commit(difference, copies, ready.revision)
            except HubConflictError:
                tried, head = difference, self._hub.head()
                continue
            self._record_publication(revision)
            return self._publication(difference, revision, creates=creates, committed=True)
        raise HubConflictError(
            f"{self._hub.url}: the branch {self._hub.branch} moved {_MAX_BRANCH_MOVES} times during publishing; "
            "uploaded files are kept, so run the same command when no other user commits"
        )

    def _ensure_branch(self, head: "BranchHead | None") -> "BranchHead":
        """The branch, created if it does not exist."""
        if head is None and self._create:
            self._work.verify_lock()
            self._hub.create_repository(private=self._settings.hub.private)
            head = self._hub.head()
        if head is None:
            why = (
                "exists, but is not visible to this token"
                if self._create
                else "is not visible to this token, or deleted"
            )
            raise HubAccessError(f"{self._hub.url} {why}: check which account the token belongs to")
        if head.revision:
            return head
        self._work.verify_lock()
        self._hub.create_branch()
        head = self._hub.head()
        if head is None or not head.revision:
            raise HubError(
                f"{self._hub.url}: the branch {self._hub.branch} was created, but is not visible yet: try again"
            )
        return head

    def _publication(
        self, difference: Difference, revision: str, *, creates: bool, committed: bool = False
    ) -> PublishResult:
        hub = self._hub
        return PublishResult(
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

    def _compare(self, head: "BranchHead | None") -> Difference:
        remote: dict[str, RemoteFile] = {}
        records = []
        if head is not None and head.revision:
            remote = self._list_files(head.revision)
            if HUB_RECORD in remote and not remote[HUB_RECORD].sha256:
                records = parse_hub_record(self._hub.read_file(HUB_RECORD, head.revision))
                if records:  # then the record was published from here, too
                    records.append({"path": HUB_RECORD, "sha256": remote[HUB_RECORD].identity})
        hub = self._hub
        published = find_publication(self._work, self._settings, (hub.endpoint, hub.repo_id, hub.branch))
        return compare_files(self._files, remote, group_identities([*records, *(published.files if published else ())]))

    def _find_copies(self, difference: Difference, head: "BranchHead | None") -> Copies:
        """Where the repository has the content of large files already.

        Raises DatasetNotReadyError if the work root does not have the others.
        """
        large = [file for file in difference.uploads if file.data is None]
        revisions: list[str] = []
        if large and head is not None:
            own = [head.revision] if head.revision else []
            revisions = list(dict.fromkeys([*own, *self._hub.other_branches().values()]))
        copies = find_copies(large, revisions, self._list_files)
        missing = [file for file in large if file.sha256 not in copies]
        require_files(self._work, missing, self._hub.url, self._settings)
        return copies

    def _refuse_public(self, head: "BranchHead | None") -> None:
        if head is not None and self._settings.hub.private and not head.private:
            raise ConfigurationError(
                f"{self._hub.url} is public, but hub.private is set: set "
                "VOICE_HUB__PRIVATE=false if the dataset may be public"
            )

    def _refuse_foreign(self, difference: Difference, head: "BranchHead") -> None:
        if difference.conflicts and not self._overwrite:
            raise RemoteChangedError(
                f"another user added or changed {list_first(difference.conflicts, ', ')} in "
                f"{self._hub.url}/tree/{head.revision}: save these changes, then publish with --overwrite"
            )

    def _check_loads(self) -> None:
        """Load the dataset before anything is published; files of a bucket are checked when they are downloaded."""
        try:
            from voice_core.publish.load_check import check_card, check_local_dataset
        except ImportError:
            raise ConfigurationError(_EXTRA_MISSING) from None
        root = self._work.local_root
        if root is None:
            check_card(self._files)
            return
        evicted = EvictedFiles(self._work)
        evicted_keys = {file.key for file in self._files if file.key and evicted.contains(file.key, file.sha256)}
        try:
            check_local_dataset(root, self._files, evicted_keys)
        except DatasetNotReadyError:
            for file in self._files:  # if a file was changed since it was committed, this is the cause
                if file.key and file.key not in evicted_keys and self._work.head(file.key) is not None:
                    self._require_committed(file, self._work.hash(file.key))
            raise

    def _upload_missing(self, files: Sequence[LocalFile]) -> None:
        """Upload large files in slices. The client skips those that the hub already has."""
        from voice_core.publish.load_check import check_copies

        pending = [file for file in files if not self._hub.is_uploaded(file)]
        stored = self._hub.find_stored() if pending else set()
        scratch = (
            open_scratch(self._settings.local_dir, self._settings.local_gb) if self._work.local_root is None else None
        )
        limit_bytes = min(_SLICE_BYTES, scratch.budget_bytes) if scratch else _SLICE_BYTES
        with progress.track("uploading", sum(file.size for file in pending) / 1e6, "MB") as bar:
            for part in split_by_size(pending, limit_bytes):
                with self._local_copies(part, scratch) as paths:
                    copies = dict(zip(paths, part, strict=True))
                    if scratch is not None:
                        check_copies(copies, self._files)
                    self._work.verify_lock()
                    self._hub.upload(copies)
                sent = [file for file in part if file.sha256 not in stored]
                self._files_sent += len(sent)
                self._bytes_sent += sum(file.size for file in sent)
                bar.advance(sum(file.size for file in part) / 1e6)

    @contextmanager
    def _local_copies(self, files: Sequence[LocalFile], scratch: Scratch | None) -> Iterator[list[Path]]:
        """Paths on the local disk, each verified against its committed SHA-256, which the hub may not do."""
        if scratch is None:
            root = self._work.local_root
            assert root is not None
            for file in files:
                self._require_committed(file, self._work.hash(file.key))
            yield [root / file.key for file in files]
            return
        with scratch.reserve(sum(file.size for file in files), files[0].key) as room:
            paths = {file.key: room / f"{number}.parquet" for number, file in enumerate(files)}
            found = self._work.map_keys(lambda key: self._work.download(key, paths[key]), paths)
            for file, digest in zip(files, found, strict=True):
                self._require_committed(file, digest)
            yield list(paths.values())

    def _require_committed(self, file: LocalFile, digest: str) -> None:
        if digest != file.sha256:
            raise DatasetNotReadyError(
                f"{self._work.url}/{file.key} is not the file that was committed: either a build is writing it, or it "
                "is corrupt; `voice build --verify` repairs it"
            )

    def _commit(self, difference: Difference, copies: Copies, parent: str) -> str:
        self._work.verify_lock()
        return self._hub.commit(
            uploads=difference.uploads,
            copies=copies,
            deleted=difference.deleted,
            parent=parent,
            message=publish_commit_message(self._settings.dataset, difference),
        )

    def _record_publication(self, revision: str) -> None:
        hub = self._hub
        write_publication(
            self._work,
            self._settings,
            (hub.endpoint, hub.repo_id, hub.branch),
            revision,
            (file.as_record() for file in self._files),
        )
