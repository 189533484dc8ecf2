"""How a stage commits: an incomplete manifest first, files with checkpoints, clean-up, and the complete manifest last.

At no time does a complete manifest list a file that is not what it says. A killed run leaves an incomplete manifest
that lists what is certain; the next run resumes from it and ends in the same bytes.
"""

import time
from collections.abc import Callable, Collection
from types import TracebackType

from voice_core.stages.manifest import StageManifest
from voice_core.storage.store import Store

CHECKPOINT_SEC = 20.0


class CheckpointWriter:
    """Writes the incomplete manifest of a stage at work.

    `draft` returns it as it is now. Call `write` before the first file is overwritten or removed, and `write_if_due`
    whenever something is finished. As a context manager it writes once more when the process is asked to end; after
    an error, which may be the store's, the last checkpoint counts.
    """

    def __init__(self, store: Store, key: str, draft: Callable[[], StageManifest]) -> None:
        self._store, self._key, self._draft = store, key, draft
        self._written = 0.0

    def write(self) -> None:
        """Write the manifest now. Raises ValueError where the draft is complete."""
        manifest = self._draft()
        if manifest.complete:
            raise ValueError(f"a checkpoint of {manifest.partition} must be an incomplete manifest")
        self._store.put(self._key, manifest.to_bytes())
        self._written = time.monotonic()

    def write_if_due(self) -> None:
        """Write it when the last checkpoint is `CHECKPOINT_SEC` old."""
        if time.monotonic() - self._written > CHECKPOINT_SEC:
            self.write()

    def __enter__(self) -> "CheckpointWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, Exception):
            self.write()


def commit_manifest(
    store: Store, key: str, manifest: StageManifest, prefix: str, listed: Collection[str] | None = None
) -> None:
    """Make a complete manifest the result of its partition.

    With `listed`, every other file below `prefix`, the manifest aside, is removed first.
    """
    if not manifest.complete:
        raise ValueError(f"the manifest of {manifest.partition} is incomplete and cannot be committed")
    if listed is not None:
        store.delete([item.key for item in store.listing(prefix) if item.key not in listed and item.key != key])
    store.put(key, manifest.to_bytes())
