"""The master of a chapter: raw PCM in a local file, from which every format is encoded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from voice_core.audio.pcm import Pcm16, to_pcm16
from voice_core.audiobook.mastering.assembly import ChapterAssembly, ChunkSpan, master_rate
from voice_core.audiobook.mastering.chapter_source import ChapterSource
from voice_core.audiobook.mastering.limiter import Limiter
from voice_core.fingerprint import fingerprint
from voice_core.settings import AudiobookSettings

MASTER_VERSION = 1
"""Of the mastering; a change masters every chapter anew."""
_BLOCK = 1 << 16
_SETTINGS = {
    "peak_limit_dbfs",
    "pause_clause_sec",
    "pause_sentence_sec",
    "pause_paragraph_sec",
    "pause_heading_sec",
    "pause_scene_sec",
    "chapter_head_sec",
    "chapter_tail_sec",
}


@dataclass(frozen=True, slots=True)
class MasteredChapter:
    """A chapter as it was mastered. `spans` has each chunk with speech, in order; `limited` counts the samples that the
    limiter changed. `inputs` is the hash of all that the audio depends on."""

    inputs: str
    sample_count: int
    limited: int
    spans: Sequence[ChunkSpan] = field(repr=False)

    def to_json(self) -> list[Any]:
        spans = [[span.start, span.count, span.lead] for span in self.spans]
        return [self.inputs, self.sample_count, self.limited, spans]

    @classmethod
    def from_json(cls, value: list[Any]) -> "MasteredChapter":
        inputs, sample_count, limited, spans = value
        return cls(inputs, sample_count, limited, tuple(ChunkSpan(*span) for span in spans))


def master_inputs(
    chapter: ChapterSource, gains_db: dict[str, float], speech_rate_hz: int, settings: AudiobookSettings
) -> str:
    """The hash of all that a chapter's audio depends on. The chapter's number and title are not among it."""
    chunks = [
        (item.audio.sha256, item.audio.sample_count, gains_db.get(item.audio.voice), item.pause)
        for item in chapter.spoken
    ]
    chosen = settings.model_dump(mode="json", include=_SETTINGS)
    return fingerprint("master", MASTER_VERSION, speech_rate_hz, master_rate(speech_rate_hz), chosen, chunks)


def master_chapter(assembly: ChapterAssembly, inputs: str, path: Path) -> MasteredChapter:
    """Write a chapter as 16-bit PCM to `path`, in bounded memory. Raises as `ChapterAssembly.blocks`."""
    limiter = Limiter(assembly.rate_hz, assembly.settings.peak_limit_dbfs)
    with path.open("wb") as file:
        for block in limiter.run(assembly.blocks()):
            file.write(to_pcm16(block).astype("<i2").tobytes())
    return MasteredChapter(inputs, assembly.sample_count, limiter.limited, tuple(assembly.spans))


def read_master(path: Path, start: int = 0, end: int | None = None) -> Iterator[Pcm16]:
    """The samples of a master from `start` to `end`, in blocks."""
    with path.open("rb") as file:
        file.seek(2 * start)
        left = (path.stat().st_size // 2 if end is None else end) - start
        while left > 0 and (data := file.read(2 * min(_BLOCK, left))):
            left -= len(data) // 2
            yield np.frombuffer(data, "<i2").astype(np.int16)
