"""Purge: delete files from the history of a hub repository, where old revisions keep them after a deletion."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from voice_core.corpus.dataset.publications import find_publication, read_publications, set_publication_revision
from voice_core.language import pluralize
from voice_core.layout import DatasetLayout, RowsFile
from voice_core.publish.commit_message import squash_commit_message
from voice_core.publish.errors import HubError
from voice_core.publish.publish import open_hub
from voice_core.settings import Settings
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.store import Store

if TYPE_CHECKING:
    from huggingface_hub.hf_api import LFSFileInfo

    from voice_core.publish.hub import HubRepo


@dataclass(frozen=True, slots=True)
class PurgePlan:
    """What a purge deletes: Parquet files of rows that no published branch uses now.

    `refs` are other branches, tags and pull requests that use some of these files and lose them.
    """

    url: str
    branch: str
    files: int
    bytes: int
    refs: tuple[str, ...]


def plan_purge(work: Store, settings: Settings) -> PurgePlan:
    """What `purge` would delete; nothing is changed. Raises `HubError`."""
    with open_hub(settings) as hub:
        unused = _unused_files(hub, _published_branches(work, settings, hub))
        hashes = {item.oid for item in unused}
        refs = tuple(
            ref for ref, revision in sorted(hub.refs().items())
            if any(file.sha256 in hashes for file in hub.list_files(revision).values())
        )  # fmt: skip
        return PurgePlan(hub.url, hub.branch, len(unused), sum(item.size for item in unused), refs)


def purge(work: Store, settings: Settings) -> PurgePlan:
    """Squash the branch's history, and delete permanently all rows that no published branch uses now.

    This cannot be undone. Returns what was deleted.

    Raises:
        HubError: some files are still listed afterwards; run it again.
    """
    plan = plan_purge(work, settings)
    name = f"{DatasetLayout(settings.dataset).root}published"
    with hold_lock(work, name) as work, open_hub(settings) as hub:
        branches = _published_branches(work, settings, hub)
        work.verify_lock()
        hub.squash(squash_commit_message(settings.dataset))
        unused = _unused_files(hub, branches)
        if unused:
            work.verify_lock()
            hub.delete_large_files(unused)
        left = _unused_files(hub, branches)
        if left:
            count = pluralize(len(left), "large file")
            raise HubError(f"{hub.url} still lists {count} after the deletion: run the command again")
        head = hub.head()
        published = find_publication(work, settings, (hub.endpoint, hub.repo_id, hub.branch))
        if head is not None and published is not None:
            set_publication_revision(work, settings, published, head.revision)
    return plan


def _published_branches(work: Store, settings: Settings, hub: "HubRepo") -> set[str]:
    """The branches of the repository that the dataset is published to and that still exist; their files are kept."""
    published = read_publications(work, settings)
    same = {item.branch for item in published if (item.endpoint, item.repo_id) == (hub.endpoint, hub.repo_id)}
    return {hub.branch, *(branch for branch in same if f"refs/heads/{branch}" in hub.refs())}


def _unused_files(hub: "HubRepo", branches: set[str]) -> "list[LFSFileInfo]":
    """Large files with rows that none of the branches uses now.

    Files without a name were uploaded and never committed. The hub's conversions contain copies of the rows.
    """
    used = {file.sha256 for branch in branches for file in hub.list_files(branch).values()}
    return [
        item
        for item in hub.large_files()
        if item.oid not in used
        and (not item.filename or RowsFile.matches_name(item.filename) or (item.ref or "").startswith("refs/convert/"))
    ]
