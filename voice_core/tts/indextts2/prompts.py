"""Copies of the recordings of voices, under paths that change with the content."""

import hashlib
import weakref
from contextlib import ExitStack
from pathlib import Path

from voice_core.storage.scratch import Scratch, scratch_root

_Stamp = tuple[int, int, int, int]


class PromptCache:
    """Copies of recordings in a scratch folder, named by their hash.

    IndexTTS2 caches what it computes of a recording by its path and does not notice that the file has changed. Links
    would change with the file, so these are copies. The folder is removed at the end of the process; if that is killed,
    by the next process that opens the scratch. `local_dir` is the setting of that name.
    """

    def __init__(self, local_dir: str) -> None:
        self._local_dir = local_dir
        self._folder: Path | None = None
        self._room = ExitStack()
        weakref.finalize(self, self._room.close)
        self._seen: dict[Path, tuple[_Stamp, Path]] = {}

    def copy_recording(self, recording: Path) -> str:
        """The path of a copy of the recording as it is now. It is read again only if its time or size has changed.

        Raises ValueError where it cannot be read.
        """
        try:
            status = recording.stat()
            stamp = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
            seen, copy = self._seen.get(recording, (None, recording))
            if seen != stamp or not copy.is_file():  # a cleanup of the temporary folder may have removed it
                copy = self._copied(recording)
                self._seen[recording] = stamp, copy
        except OSError as error:
            raise ValueError(f"the recording {recording} cannot be read: {error.strerror or error}") from None
        return str(copy)

    def clear(self) -> None:
        self._seen.clear()
        self._room.close()
        self._folder = None

    def _copied(self, recording: Path) -> Path:
        data = recording.read_bytes()
        if self._folder is None or not self._folder.is_dir():
            self.clear()
            scratch = Scratch(scratch_root(self._local_dir), 0, "")
            scratch.remove_abandoned()
            self._folder = self._room.enter_context(scratch.reserve(0, "copies of voices"))
        copy = Path(self._folder, hashlib.sha256(data).hexdigest()[:24] + recording.suffix)
        copy.write_bytes(data)
        return copy
