"""One build of a book in a process of its own, whose time and memory, and those of all it starts, are measured."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.common import process_tree
from resources.corpus import open_work
from voice_core.audiobook.audio_manifest import read_audio_manifest
from voice_core.audiobook.audiobook_manifest import read_audiobook_manifest
from voice_core.audiobook.audiobook_stage import build_audiobook
from voice_core.audiobook.books import list_books
from voice_core.audiobook.build import build_text
from voice_core.audiobook.speech import build_chunk_audio
from voice_core.layout import BookKey
from voice_core.settings import Settings
from voice_core.storage.store import Store
from voice_core.synthesis import Backend, SynthesisOptions

BOOK: Final = "book"
_MIB: Final = 2**20
_POLL_SEC: Final = 1.0


@dataclass(frozen=True, slots=True)
class Build:
    """What to build in `folder`, which has `books/book.txt`. `formats` are the audiobook's."""

    folder: str
    backend: Backend = "process"
    workers: int = 2
    formats: tuple[str, ...] = ("m4b",)
    engine: str = "hibari"
    sample_rate_hz: int = 0  # of the engine noise
    speech_only: bool = False
    validation: str = ""  # file of the validation's settings


@dataclass(frozen=True, slots=True)
class Built:
    """What a build took. `cpu_sec` is that of all processes; `peak_mib` the most that they held together, a shared page
    counted once; `main_mib` the most that the main process held. `stages` are seconds of wall time."""

    wall_sec: float
    cpu_sec: float
    peak_mib: float
    main_mib: float
    stages: dict[str, float]
    spoken: int
    speech_sec: float
    retries: int
    mastered: int
    chunks: int
    characters: int
    audio_sec: float
    exceptions: dict[str, int]

    @property
    def building_sec(self) -> float:
        """Without the start of Python and its imports."""
        return sum(self.stages.values())


def write_book(folder: Path, text: str) -> None:
    path = folder / "books" / f"{BOOK}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def run_build(build: Build) -> Built:
    """Build in a new process. Raises RuntimeError where it fails."""
    command = [sys.executable, "-m", "benchmarks.audiobook_run", json.dumps(asdict(build))]
    began = time.perf_counter()
    peak = main = 0.0
    with subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True) as child:
        while True:
            done, status, usage = os.wait4(child.pid, os.WNOHANG)
            if done:
                break
            held = [_pss_mib(pid) for pid in process_tree(child.pid)]
            peak, main = max(peak, sum(held)), max(main, held[0])
            time.sleep(_POLL_SEC)
        child.returncode = os.waitstatus_to_exitcode(status)
        wall_sec = time.perf_counter() - began
        assert child.stdout is not None
        output = child.stdout.read()
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}")
    return Built(wall_sec, usage.ru_utime + usage.ru_stime, peak, main, **json.loads(output.splitlines()[-1]))


def table_row(what: str, found: str, built: Built) -> list[str]:
    return [what, found, f"{built.wall_sec:.1f}", f"{built.cpu_sec:.1f}", f"{built.peak_mib:,.0f}"]


def open_build(build: Build) -> tuple[Store, Store, Settings]:
    folder = Path(build.folder)
    options = {"sample_rate_hz": build.sample_rate_hz} if build.sample_rate_hz else {}
    settings = Settings.load(
        work_url=str(folder / "work"),
        speech={"engine": build.engine, "options": options},
        audiobook={"books_url": str(folder / "books"), "formats": list(build.formats), "validation": build.validation},
    )
    return Store((folder / "books").as_uri()), open_work(settings), settings


def hash_files(build: Build) -> dict[str, dict[str, str]]:
    """SHA-256 of the files of an audiobook and of its speech, by format and key."""
    _, work, _ = open_build(build)
    audio, audiobook = read_audio_manifest(work, BookKey(BOOK)), read_audiobook_manifest(work, BookKey(BOOK))
    assert audio is not None
    found: dict[str, dict[str, str]] = {"chunks": {row.chunk_id: work.hash(row.key) for row in audio.rows if row.key}}
    for row in audiobook.rows if audiobook is not None else ():
        found.setdefault(row.format, {})[row.key] = work.hash(row.key)
    return found


def _pss_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:  # it ended meanwhile
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def _run(build: Build) -> dict[str, Any]:
    books, work, settings = open_build(build)
    file = list_books(books).find(BOOK)
    stages: dict[str, float] = {}
    with _timed(stages, "text"):
        text = build_text(work, file, settings)
    with _timed(stages, "speech"):
        audio = build_chunk_audio(work, file.key, settings, SynthesisOptions(build.backend, build.workers))
    mastered, audio_sec = 0, 0.0
    if not build.speech_only:
        with _timed(stages, "mastering"):
            audiobook = build_audiobook(work, file.key, settings)
        mastered, audio_sec = audiobook.chapters_mastered, audiobook.manifest.duration_sec
    return {
        "stages": stages,
        "spoken": audio.spoken,
        "speech_sec": audio.speech_sec,
        "retries": audio.retries,
        "mastered": mastered,
        "chunks": len(text.chunks()),
        "characters": sum(len(row.text) for row in text.chunks()),
        "audio_sec": audio_sec,
        "exceptions": Counter(
            row.reason or name
            for row in audio.manifest.exceptions()
            for name in ([row.reason] if row.reason else [item[0] for item in json.loads(row.exceptions)])
        ),
    }


@contextlib.contextmanager
def _timed(stages: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    stages[name] = time.perf_counter() - began


if __name__ == "__main__":
    print(json.dumps(_run(Build(**json.loads(sys.argv[1])))))
