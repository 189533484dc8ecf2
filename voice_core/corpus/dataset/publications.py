"""published.json: where a dataset was published, and what lies there. One entry a branch of a repository.

It has no times in it, and no secrets; it is the one file of a dataset that speaks of the world outside, so it is not
part of what a rebuilt work root has to reproduce.
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
class Published:
    """A publication. `files` as `publish.difference.LocalFile.as_record` gives them."""

    endpoint: str
    repo_id: str
    branch: str
    revision: str
    files: tuple[dict[str, Any], ...]

    @property
    def place(self) -> tuple[str, str, str]:
        return self.endpoint, self.repo_id, self.branch

    @property
    def url(self) -> str:
        return f"{self.endpoint}/datasets/{self.repo_id}"


@dataclass(frozen=True, slots=True)
class _Publications:
    publications: tuple[Published, ...]


def published_key(settings: Settings) -> str:
    return f"{DatasetLayout(settings.dataset).root}published.json"


def read_published(work: Store, settings: Settings) -> list[Published]:
    """Every place that the dataset was published to. Raises `StateFileError` where published.json is damaged."""
    key = published_key(settings)
    data = work.find(key)
    return parse_published(work, key, data) if data is not None else []


def parse_published(work: Store, key: str, data: bytes) -> list[Published]:
    return list(parse_state(work, key, data, _Publications, remedy=_REMEDY).publications)


def find_published(work: Store, settings: Settings, place: tuple[str, str, str]) -> Published | None:
    return next((item for item in read_published(work, settings) if item.place == place), None)


def write_published(
    work: Store, settings: Settings, place: tuple[str, str, str], revision: str, files: Iterable[dict[str, Any]]
) -> None:
    """Replace the entry of this place."""
    records = sorted(files, key=lambda item: str(item["path"]))
    _write(work, settings, Published(*place, revision, tuple(records)))


def move_published(work: Store, settings: Settings, published: Published, revision: str) -> None:
    """The same files, at another revision."""
    _write(work, settings, Published(*published.place, revision, published.files))


def _write(work: Store, settings: Settings, entry: Published) -> None:
    others = [item for item in read_published(work, settings) if item.place != entry.place]
    publications = [
        {"endpoint": item.endpoint, "repo_id": item.repo_id, "branch": item.branch, "revision": item.revision,
         "files": item.files}
        for item in sorted([*others, entry], key=lambda item: item.place)
    ]  # fmt: skip
    data = (json.dumps({"publications": publications}, ensure_ascii=False, indent=1) + "\n").encode()
    key = published_key(settings)
    if work.find(key) != data:
        work.put(key, data)
