"""published.json: where a dataset was published, and the files there. One entry per branch of a repository.

It contains no times and no secrets. It describes an external state, so rebuilding a work root does not reproduce it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from voice_core.layout import DatasetLayout
from voice_core.settings import Settings
from voice_core.storage.state_files import parse_state
from voice_core.storage.store import Store

_REMEDY = "Restore it from a copy, or delete it and publish again"


@dataclass(frozen=True, slots=True)
class PublicationRecord:
    """A publication; `files` are records of `publish.difference.LocalFile.as_record`."""

    endpoint: str
    repo_id: str
    branch: str
    revision: str
    files: tuple[dict[str, Any], ...]

    @property
    def branch_id(self) -> tuple[str, str, str]:
        return self.endpoint, self.repo_id, self.branch

    @property
    def url(self) -> str:
        return f"{self.endpoint}/datasets/{self.repo_id}"


@dataclass(frozen=True, slots=True)
class _Publications:
    publications: tuple[PublicationRecord, ...]


def publications_key(settings: Settings) -> str:
    return f"{DatasetLayout(settings.dataset).root}published.json"


def read_publications(work: Store, settings: Settings) -> list[PublicationRecord]:
    """All publications of the dataset. Raises `StateFileError` if published.json is damaged."""
    key = publications_key(settings)
    data = work.find(key)
    return parse_publications(work, key, data) if data is not None else []


def parse_publications(work: Store, key: str, data: bytes) -> list[PublicationRecord]:
    return list(parse_state(work, key, data, _Publications, remedy=_REMEDY).publications)


def find_publication(work: Store, settings: Settings, branch_id: tuple[str, str, str]) -> PublicationRecord | None:
    return next((item for item in read_publications(work, settings) if item.branch_id == branch_id), None)


def write_publication(
    work: Store, settings: Settings, branch_id: tuple[str, str, str], revision: str, files: Iterable[dict[str, Any]]
) -> None:
    """Replace the entry of this branch."""
    records = sorted(files, key=lambda item: str(item["path"]))
    _write(work, settings, PublicationRecord(*branch_id, revision, tuple(records)))


def set_publication_revision(work: Store, settings: Settings, published: PublicationRecord, revision: str) -> None:
    """Change the revision of an entry; its files stay the same."""
    _write(work, settings, PublicationRecord(*published.branch_id, revision, published.files))


def _write(work: Store, settings: Settings, entry: PublicationRecord) -> None:
    others = [item for item in read_publications(work, settings) if item.branch_id != entry.branch_id]
    publications = [
        {"endpoint": item.endpoint, "repo_id": item.repo_id, "branch": item.branch, "revision": item.revision,
         "files": item.files}
        for item in sorted([*others, entry], key=lambda item: item.branch_id)
    ]  # fmt: skip
    data = (json.dumps({"publications": publications}, ensure_ascii=False, indent=1) + "\n").encode()
    key = publications_key(settings)
    if work.find(key) != data:
        work.put(key, data)
