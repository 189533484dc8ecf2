"""Publishing: one commit that makes a hub's branch hold the dataset, with just what changed in it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from voice_core.compute import progress
from voice_core.corpus.dataset.publications import find_publication, write_publication
from voice_core.layout import DatasetLayout
from voice_core.publish.dataset_files import DatasetNotReadyError, collect_files
from voice_core.publish.difference import (
    HUB_RECORD,
    Difference,
    LocalFile,
    RemoteFile,
    compare_files,
    group_identities,
    parse_hub_record,
    split_by_size,
)
from voice_core.publish.errors import HubAccessError, HubConflictError, HubError, RemoteChangedError
from voice_core.settings import ConfigurationError, Settings
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.scratch import Scratch, open_scratch
from voice_core.storage.store import Store

if TYPE_CHECKING:
    from voice_core.publish.hub import BranchHead, HubRepo

_MAX_ATTEMPTS = 5
_SLICE_BYTES = 2_000_000_000  # uploaded together: what a kill may cost
_MAX_NAMED = 5


@dataclass(frozen=True, slots=True)
class PublishResult:
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
    def commit_url(self) -> str:
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
) -> PublishResult:
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
            return _Publisher(work, settings, hub, overwrite, create).preview()
    with hold_lock(work, name) as work, hub:
        return _Publisher(work, settings, hub, overwrite, create).run()


class _Publisher:
    def __init__(self, work: Store, settings: Settings, hub: "HubRepo", overwrite: bool, create: bool) -> None:
        self._work, self._settings, self._hub = work, settings, hub
        self._overwrite, self._create = overwrite, create
        self._files = collect_files(work, settings)
        self._files_sent = self._bytes_sent = 0

    def preview(self) -> PublishResult:
        head = self._hub.head()
        self._refuse_public(head)
        difference = self._compare(head)
        return self._publication(difference, head.revision if head else "", creates=not (head and head.revision))

    def run(self) -> PublishResult:
        head = self._hub.head()
        creates = head is None or not head.revision
        self._refuse_public(head)
        tried: Difference | None = None
        for _ in range(_MAX_ATTEMPTS):
            ready = self._ensure_branch(head)
            difference = self._compare(ready)
            self._refuse_foreign(difference, ready)
            if difference.empty:
                # After a try, the answer was lost on its way: the commit had been made.
                self._record_publication(ready.revision)
                done = tried or difference
                return self._publication(done, ready.revision, creates=creates, committed=tried is not None)
            self._upload_missing([file for file in difference.uploads if file.data is None])
            try:
                revision = self._commit(difference, ready.revision)
            except HubConflictError:
                tried, head = difference, self._hub.head()
                continue
            self._record_publication(revision)
            return self._publication(difference, revision, creates=creates, committed=True)
        raise HubConflictError(
            f"{self._hub.url}: the branch {self._hub.branch} moved {_MAX_ATTEMPTS} times while this was being "
            "published; "
            "what was uploaded is kept, so try again when others are done"
        )

    def _ensure_branch(self, head: "BranchHead | None") -> "BranchHead":
        """The branch, made if it is not there."""
        if head is None and self._create:
            self._work.verify_lock()
            self._hub.create_repository(private=self._settings.hub.private)
            head = self._hub.head()
        if head is None:
            why = "is there, and this token may not see it" if self._create else "is gone, or this token may not see it"
            raise HubAccessError(f"{self._hub.url} {why}: check whose token it is")
        if head.revision:
            return head
        self._work.verify_lock()
        self._hub.create_branch()
        head = self._hub.head()
        if head is None or not head.revision:
            raise HubError(f"{self._hub.url}: the branch {self._hub.branch} was made and cannot be seen; try again")
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
            remote = self._hub.list_files(head.revision)
            if HUB_RECORD in remote and not remote[HUB_RECORD].sha256:
                records = parse_hub_record(self._hub.read_file(HUB_RECORD, head.revision))
                if records:  # a list of ours, then so is the file itself
                    records.append({"path": HUB_RECORD, "sha256": remote[HUB_RECORD].identity})
        hub = self._hub
        published = find_publication(self._work, self._settings, (hub.endpoint, hub.repo_id, hub.branch))
        return compare_files(self._files, remote, group_identities([*records, *(published.files if published else ())]))

    def _refuse_public(self, head: "BranchHead | None") -> None:
        if head is not None and self._settings.hub.private and not head.private:
            raise ConfigurationError(
                f"{self._hub.url} is public, and hub.private asks for a private repository: set "
                "VOICE_HUB__PRIVATE=false if everybody may have this dataset"
            )

    def _refuse_foreign(self, difference: Difference, head: "BranchHead") -> None:
        if difference.conflicts and not self._overwrite:
            more = (
                f" and {len(difference.conflicts) - _MAX_NAMED} more" if len(difference.conflicts) > _MAX_NAMED else ""
            )
            raise RemoteChangedError(
                f"somebody else put or changed {', '.join(difference.conflicts[:_MAX_NAMED])}{more} in "
                f"{self._hub.url}/tree/{head.revision}: keep what matters of it, then publish with --overwrite"
            )

    def _upload_missing(self, files: Sequence[LocalFile]) -> None:
        """Upload those large files that the hub does not have yet, in slices."""
        there = self._hub.find_uploaded(files)
        missing = {file.sha256: file for file in files if file.sha256 not in there}
        scratch = (
            open_scratch(self._settings.local_dir, self._settings.local_gb) if self._work.local_root is None else None
        )
        limit_bytes = min(_SLICE_BYTES, scratch.budget_bytes) if scratch else _SLICE_BYTES
        with progress.track("uploading", sum(file.size for file in missing.values()) / 1e6, "MB") as bar:
            for part in split_by_size(missing.values(), limit_bytes):
                with self._local_copies(part, scratch) as paths:
                    self._work.verify_lock()
                    self._hub.upload(dict(zip(paths, part, strict=True)))
                self._files_sent += len(part)
                self._bytes_sent += sum(file.size for file in part)
                bar.advance(sum(file.size for file in part) / 1e6)

    @contextmanager
    def _local_copies(self, files: Sequence[LocalFile], scratch: Scratch | None) -> Iterator[list[Path]]:
        """Files on this machine's disk, each found to be what was committed: the hub only compares sizes for sure."""
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
                f"{self._work.url}/{file.key} is not the file that was committed: it is being built again, or it is "
                "spoilt and `voice build --verify` mends it"
            )

    def _commit(self, difference: Difference, parent: str) -> str:
        counts = {"added": difference.added, "changed": difference.changed, "deleted": difference.deleted}
        change_counts = ", ".join(f"{len(items)} {verb}" for verb, items in counts.items() if items)
        self._work.verify_lock()
        return self._hub.commit(
            uploads=difference.uploads,
            deleted=difference.deleted,
            parent=parent,
            title=f"{self._settings.dataset}: {change_counts}",
            description="",
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
