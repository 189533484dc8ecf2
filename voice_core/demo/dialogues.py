"""Three short dialogues of everyday life, as a file of dialogue scripts."""

from pathlib import Path
from typing import Final

from voice_core.storage.local_files import write_file

DIALOGUES_PATH: Final = Path(__file__).with_name("dialogues.jsonl")


def write_dialogues(folder: Path) -> Path:
    """Write the file to `folder` and return its path; an existing file is kept, even if it was changed."""
    path = folder / DIALOGUES_PATH.name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_file(path, DIALOGUES_PATH.read_bytes())
    return path
