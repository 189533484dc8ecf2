"""`pipeline.json`: the file by which the phases of an audiobook pipeline pass on their results.

Phase 3 lists the files of a book's chunks (`phase3.files.<ID>.chunk_paths`), phase 4 adds an entry for each
(`phase4.files.<ID>.chunk_<N>`). Many processes may merge into a file at the same time.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

LOCK_SUFFIX = ".lock"
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


def merge_results(path: Path, file_id: str, results: Mapping[int, Mapping[str, Any]]) -> None:
    """Set `phase4.files.<file_id>.chunk_<N>` for each N of `results`, and leave everything else as it is.

    The file is locked meanwhile (by `<name>.lock` beside it), and replaced as a whole: a process that is killed leaves
    the old content or the new one. Raises PipelineFileError where the file is missing or damaged; it is left as it is
    then.
    """
    path = Path(os.path.realpath(path))  # a link is kept
    if not path.is_file():  # else a lock would be created beside a misspelt name
        raise PipelineFileError(f"{path}: there is no such file")
    with FileLock(f"{path}{LOCK_SUFFIX}", mode=0o666):
        content = _read(path)
        entry = _section(content, path, "phase4", create=True).setdefault(file_id, {})
        if not isinstance(entry, dict):
            raise PipelineFileError(f"{path}: phase4.files.{file_id} must be an object")
        for number, result in results.items():
            entry[f"chunk_{number}"] = dict(result)
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
