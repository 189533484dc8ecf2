"""Symbolic links in a local folder: which of them lead out of it."""

import os
from collections.abc import Iterator
from pathlib import Path

LINK_OUTSIDE = "a symbolic link that leads out of the folder; VOICE_FOLLOW_SYMLINKS=true follows it"


def is_outside(root: Path, key: str) -> bool:
    """Whether the real path of a key is outside of the real path of its root."""
    return not Path(os.path.realpath(root / key)).is_relative_to(os.path.realpath(root))


def has_links(folder: Path) -> bool:
    """Whether there is any symbolic link below a folder."""
    folders = [os.fspath(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except OSError:  # it was removed, or cannot be read: the listing raises that
            continue
    return False


def walk_inside(root: Path, folder: Path) -> Iterator[tuple[str, bool]]:
    """Yield the keys of all files below a folder of a root, and whether each is inside of the root.

    Links within the root are followed, except to a folder above themselves. A link that leads out is one key.
    """
    real_root = Path(os.path.realpath(root))

    def below(place: Path, above: frozenset[str]) -> Iterator[tuple[str, bool]]:
        real = os.path.realpath(place)
        if real in above:
            return
        with os.scandir(place) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            key = Path(entry.path).relative_to(root).as_posix()
            if entry.is_symlink() and not Path(os.path.realpath(entry.path)).is_relative_to(real_root):
                yield key, False
            elif entry.is_dir():
                yield from below(Path(entry.path), above | {real})
            elif entry.is_file():
                yield key, True

    if folder.is_dir():
        yield from below(folder, frozenset())
