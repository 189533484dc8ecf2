"""Segment files of other programs, and what becomes of them."""

from pathlib import Path
from typing import Any

import numpy as np

from voice_assets_tests.core.corpus.small_corpus import Corpus, speech_like_noise
from voice_core.audio.pcm import to_float, to_pcm16
from voice_core.codecs import load_codec
from voice_core.corpus.adopt.adopt import AdoptOptions, adopt
from voice_core.corpus.adopt.batch import AdoptReport
from voice_core.corpus.manifest import Manifest
from voice_core.storage.store import Store

MELVQ = load_codec("melvq")


class SegmentCache:
    """A folder of segment files, as scripts write them: float32, compressed."""

    def __init__(self, corpus: Corpus, folder: Path) -> None:
        self.corpus, self.folder = corpus, folder
        folder.mkdir(parents=True)

    @property
    def store(self) -> Store:
        return Store(self.folder.as_uri())

    def path(self, audio_id: str, index: int, channel: str = "zad") -> Path:
        return self.folder / channel / f"{audio_id}_seg_{index}.npz"

    def write(
        self,
        audio_id: str,
        index: int,
        /,
        *,
        channel: str = "zad",
        seconds: float = 1.5,
        compressed: bool = True,
        pcm: bool = False,
        with_codes: bool = False,
        **fields: Any,
    ) -> Path:
        """A good file, with some fields other than usual; a field that is None is not there."""
        audio: Any = speech_like_noise(seconds, seed=index + sum(audio_id.encode()))
        codes: Any = MELVQ.encode([to_float(to_pcm16(audio))])[0].astype(np.int64) if with_codes else []
        content: dict[str, Any] = {
            "audio": to_pcm16(audio) if pcm else audio,
            "codes": codes,
            "text": f"Line {index} of {audio_id}, one of several.",
            "speaker_id": "salma",
            "gender": "female",
            "dialect": "najdi",
            "tone": "calm",
            "duration_sec": seconds,
            "audio_id": audio_id,
            **fields,
        }
        content = {name: value for name, value in content.items() if value is not None}
        path = self.path(audio_id, index, channel)
        path.parent.mkdir(parents=True, exist_ok=True)
        (np.savez_compressed if compressed else np.savez)(path, **content)
        return path

    def recording(self, audio_id: str, count: int = 3, **more: Any) -> None:
        for index in range(count):
            self.write(audio_id, index, **more)

    def adopt(self, **options: Any) -> AdoptReport:
        return adopt(self.store, self.corpus.work, self.corpus.settings, AdoptOptions(**options))


def read_segments_manifest(corpus: Corpus, channel: str = "zad", number: int = 1) -> Manifest:
    return corpus.segments(channel, number)


def reasons_by_index(manifest: Manifest) -> dict[int, str]:
    return {entry.index: entry.reason for entry in manifest.entries if entry.reason}
