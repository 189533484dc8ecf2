"""`pipeline.json`: the file by which the phases of an audiobook pipeline pass on their results.

Phase 3 lists the files of a book's chunks (`phase3.files.<ID>.chunk_paths`), phase 4 adds an entry for each
(`phase4.files.<ID>.chunk_<N>`). Many processes may merge into a file at the same time.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from voice_core.audiobook.chunk_manifest import BookManifest
from voice_core.layout import slug

DEFAULT_NAME = "pipeline.json"
AUDIO_FOLDER = "artifacts/audio"
"""Folder of the WAV files, beside the pipeline.json."""
PIPELINE = "pipeline"
"""In the metadata of a book's text: the name of the pipeline.json whose chunk files it is made of."""
LOCK_SUFFIX = ".lock"
_KEYS = {"chunk_id", "audio_path", "status", "mos_score", "metrics", "errors", "timestamps"}
_CHUNK = re.compile(r"chunk_([1-9][0-9]{0,8})")
_PART_SUFFIX = ".part"
Json = dict[str, Any]


class PipelineFileError(ValueError):
    """The pipeline.json cannot be read, or lacks what is needed. The message names the file."""


def read_chunk_paths(path: Path, file_id: str) -> list[Path]:
    """The chunk files of a book, in order. Relative ones are relative to the folder of the pipeline.json.

    Raises PipelineFileError.
    """
    path = Path(path)
    files = _section(_read(path), path, "phase3", create=False)
    if file_id not in files:
        known = ", ".join(sorted(files)) or "none"
        raise PipelineFileError(f"{path}: phase3.files has no {file_id!r}; there are: {known}")
    entry = files[file_id]
    paths = entry.get("chunk_paths") if isinstance(entry, dict) else None
    if not isinstance(paths, list) or not all(isinstance(item, str) and item for item in paths):
        raise PipelineFileError(f"{path}: phase3.files.{file_id}.chunk_paths must be a list of file names")
    return [path.parent / item for item in paths]


def find_pipeline(text: BookManifest) -> tuple[str, str] | None:
    """The id in the pipeline.json and the name of that file; None for the text of another book."""
    name = text.metadata.get(PIPELINE)
    return (text.title, str(name)) if name else None


def audio_path(path: Path, file_id: str, number: int) -> str:
    """The WAV file of a chunk, from the folder of the pipeline.json.

    A file of another name has a folder of its own: both may have a book of the same id.

    >>> audio_path(Path("/p/pipeline.json"), "emma", 1), audio_path(Path("/p/second.json"), "emma", 1)
    ('artifacts/audio/emma_chunk_0001.wav', 'artifacts/audio/second.json/emma_chunk_0001.wav')
    """
    own = "" if path.name == DEFAULT_NAME else f"{slug(path.name)}/"
    return f"{AUDIO_FOLDER}/{own}{slug(file_id)}_chunk_{number:04d}.wav"


def merge_results(path: Path, file_id: str, results: Mapping[int, Mapping[str, Any]]) -> None:
    """Set `phase4.files.<file_id>.chunk_<N>` for each N of `results`, and leave everything else as it is.

    The file is locked meanwhile (by `<name>.lock` beside it), and replaced as a whole: a process that is killed leaves
    the old content or the new one. Raises PipelineFileError where the file is missing or damaged; it is left as it is
    then.
    """
    with _change(path) as content:
        entry = _section(content, path, "phase4", create=True).setdefault(file_id, {})
        if not isinstance(entry, dict):
            raise PipelineFileError(f"{path}: phase4.files.{file_id} must be an object")
        for number, result in results.items():
            entry[f"chunk_{number}"] = dict(result)


def remove_stale_results(path: Path, file_id: str) -> list[int]:
    """Remove the entries of chunks that `chunk_paths` does not have any more, and their WAV files. Returns the numbers.

    Only entries as this program writes them are removed, and only files that it names. Raises as `merge_results`.
    """
    entry = _find_results(_read(path), file_id)
    if not _stale_numbers(entry, len(read_chunk_paths(path, file_id))):
        return []
    with _change(path) as content:
        entry = _find_results(content, file_id)
        stale = _stale_numbers(entry, len(read_chunk_paths(path, file_id)))
        removed = [entry.pop(f"chunk_{number}") for number in stale]
    for number, result in zip(stale, removed, strict=True):
        if result["audio_path"] == audio_path(path, file_id, number):
            (path.parent / result["audio_path"]).unlink(missing_ok=True)
    return stale


def _find_results(content: Json, file_id: str) -> Json:
    """`phase4.files.<file_id>`, empty where it is not there."""
    found: Any = content
    for name in ("phase4", "files", file_id):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _stale_numbers(entry: Json, count: int) -> list[int]:
    """The numbers above `count` of entries that this program has written."""
    found = ((_CHUNK.fullmatch(name), value) for name, value in entry.items())
    numbers = (int(match[1]) for match, value in found if match and isinstance(value, dict) and value.keys() == _KEYS)
    return sorted(number for number in numbers if number > count)


@contextlib.contextmanager
def _change(path: Path) -> Iterator[Json]:
    """The content of the file, which is replaced at the end. The file is locked meanwhile."""
    path = Path(os.path.realpath(path))  # a link is kept
    if not path.is_file():  # else a lock would be created beside a misspelt name
        raise PipelineFileError(f"{path}: there is no such file")
    with FileLock(f"{path}{LOCK_SUFFIX}", mode=0o666):
        content = _read(path)
        yield content
        _replace(path, content)


def _read(path: Path) -> Json:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineFileError(f"{path}: there is no such file") from None
    except OSError as error:
        raise PipelineFileError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise PipelineFileError(f"{path}: is damaged, or not JSON in UTF-8: {error}") from None
    if not isinstance(content, dict):
        raise PipelineFileError(f"{path}: must be a JSON object with phase3.files")
    return content


def _section(content: Json, path: Path, phase: str, *, create: bool) -> Json:
    """The object `<phase>.files`."""
    found: Any = content
    for at, name in enumerate((phase, "files")):
        if create:
            found.setdefault(name, {})
        found = found.get(name)
        if not isinstance(found, dict):
            key = ".".join((phase, "files")[: at + 1])
            problem = "is missing" if found is None else "must be an object"
            raise PipelineFileError(f"{path}: {key} {problem}")
    return found


def _replace(path: Path, content: Json) -> None:
    """Write the file as a whole, on disk before it takes the old one's place. The caller holds the lock, so that the
    name of the new file is free, or that of a process that was killed."""
    part = path.with_name(f".{path.name}{_PART_SUFFIX}")
    data = json.dumps(content, ensure_ascii=False, indent=2).encode("utf-8", "surrogatepass") + b"\n"
    with part.open("wb") as file:
        os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
