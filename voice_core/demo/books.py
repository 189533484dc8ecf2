"""Two short books for the demo: an EPUB with a note, page numbers and a title page, and Markdown with two speakers."""

import io
import zipfile
from pathlib import Path
from typing import Final

from voice_core.storage.local_files import write_file

_SOURCES: Final = Path(__file__).with_name("books")
VOICES: Final = {"Ada": "heart", "Ben": "heart-low"}
"""The voices of the speakers in the Markdown book."""


def write_books(folder: Path) -> list[Path]:
    """Write the books to `folder` and return their paths; an existing file is kept, even if it was changed."""
    contents = {"lighthouse.epub": _epub(_SOURCES / "lighthouse")}
    contents["two-clocks.md"] = (_SOURCES / "two-clocks.md").read_bytes()
    for name, data in contents.items():
        if not (folder / name).exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_file(folder / name, data)
    return [folder / name for name in contents]


def _epub(folder: Path) -> bytes:
    """The files of a folder as an EPUB: equal files give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("mimetype"), "application/epub+zip")  # first, and not compressed
        for path in sorted(item for item in folder.rglob("*") if item.is_file()):
            info = zipfile.ZipInfo(path.relative_to(folder).as_posix())
            archive.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
