"""Books whose text and speech are there already: each word is a burst of noise that only this word has."""

import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from voice_assets_tests.files import files_below
from voice_core.audio.pcm import flac_bytes, to_pcm16
from voice_core.audiobook import audio_manifest, chunk_manifest
from voice_core.audiobook.audio_manifest import ChunkAudioManifest, ChunkAudioRow, read_audio_manifest, speech_key
from voice_core.audiobook.audiobook_manifest import AudiobookManifest
from voice_core.audiobook.audiobook_stage import AudiobookReport, build_audiobook
from voice_core.audiobook.chunk_manifest import BookManifest, ChunkRow, cover_key
from voice_core.fingerprint import canonical_json, fingerprint, sha256
from voice_core.layout import BookKey, manifest_key
from voice_core.recognition.text_words import split_words
from voice_core.settings import Settings
from voice_core.storage.store import Store

RATE_HZ = 24_000
BOOK = BookKey("tale")
LEAD_SEC, WORD_SEC, GAP_SEC = 0.1, 0.12, 0.06


def burst(name: str, count: int) -> npt.NDArray[np.float64]:
    """Noise that fades out, peak 0.4: its beginning is exact."""
    seed = int(fingerprint("burst", name)[:8], 16)
    noise = np.random.default_rng(seed).uniform(-0.4, 0.4, count)
    noise[0] = 0.4
    return noise * np.exp(-np.arange(count) / count)


def speak(
    text: str, rate_hz: int = RATE_HZ, lead_sec: float = LEAD_SEC, gap_sec: float = GAP_SEC
) -> tuple[npt.NDArray[np.int16], list[list[Any]]]:
    """PCM with a burst for each word, silence around, and the words' times."""
    audio = [np.zeros(round(lead_sec * rate_hz))]
    words: list[list[Any]] = []
    at = len(audio[0])
    for number, word in enumerate(split_words(text)):
        sound = burst(f"{text} {number}", round(WORD_SEC * rate_hz))
        words.append([word, at / rate_hz, (at + len(sound)) / rate_hz])
        audio += [sound, np.zeros(round(gap_sec * rate_hz))]
        at += len(sound) + len(audio[-1])
    return to_pcm16(np.concatenate(audio)), words


@dataclass
class BookBuilder:
    """Writes a book's manifests and speech to `work`, and builds the audiobook."""

    work: Store
    rate_hz: int = RATE_HZ
    lead_sec: float = LEAD_SEC
    gap_sec: float = GAP_SEC
    gain_db: float = 0.0
    title: str = "A Tale"
    metadata: dict[str, Any] = field(default_factory=lambda: {"authors": ["Ann Author"], "language": "en"})
    rows: list[ChunkRow] = field(default_factory=list)
    chapters: list[tuple[str, int]] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)  # chunks whose speech failed
    cover: bytes = b""
    speech: dict[str, npt.NDArray[np.int16]] = field(default_factory=dict)  # by text, instead of bursts

    def add_chapter(self, title: str, *blocks: Sequence[str] | ChunkRow) -> None:
        """A block is a list of chunks, each text with one or more sentences separated by "|"; or a row as it is."""
        self.chapters.append((title, 1))
        number = len(self.chapters)
        chunk = 0
        for index, block in enumerate(blocks):
            if isinstance(block, ChunkRow):
                self.rows.append(dataclasses.replace(block, chapter=number, block=index))
                continue
            for place, marked in enumerate(block):
                chunk += 1
                last = place == len(block) - 1
                self.rows.append(
                    ChunkRow(
                        chunk_id=f"{number:03d}-{chunk:04d}",
                        chapter=number,
                        block=index,
                        kind="paragraph",
                        text=marked.replace("|", " "),
                        spoken_text=marked.replace("|", " "),
                        sentences=canonical_json(_slices(marked)),
                        voice="default",
                        language=self.metadata.get("language", "en"),
                        pause_after="paragraph" if last else "sentence",
                    )
                )

    def write(self) -> None:
        """Write the two manifests and the speech."""
        covers = {"cover": "", "cover_sha256": ""}
        if self.cover:
            covers = {"cover": cover_key(BOOK, "image/jpeg"), "cover_sha256": sha256(self.cover)}
            self.work.put(covers["cover"], self.cover)
        text = BookManifest(
            str(BOOK),
            True,
            fingerprint(*[dataclasses.asdict(row) for row in self.rows]),
            metadata={"title": self.title, **self.metadata},
            chapters=tuple(self.chapters),
            rows=self.rows,
            **covers,
        )
        self.work.put(manifest_key(chunk_manifest.STAGE, BOOK), text.to_bytes())
        audio = [self._speak(row) for row in text.chunks()]
        speech = ChunkAudioManifest(
            str(BOOK), True, text.data_version, self.rate_hz, gains_db={"default": self.gain_db}, rows=audio
        )
        self.work.put(manifest_key(audio_manifest.STAGE, BOOK), speech.to_bytes())

    def _speak(self, row: ChunkRow) -> ChunkAudioRow:
        name = fingerprint(row.spoken_text, self.rate_hz)
        if row.chunk_id in self.silent:
            failed = "no engine can say that"
            return ChunkAudioRow(
                row.chunk_id, name, reason="speech_failed", message=failed, words_digest=row.words_digest
            )
        pcm, words = speak(row.spoken_text, self.rate_hz, self.lead_sec, self.gap_sec)
        if row.spoken_text in self.speech:
            pcm, words = self.speech[row.spoken_text], []
        data = flac_bytes(pcm, self.rate_hz)
        key = speech_key(BOOK, name)
        self.work.put(key, data)
        return ChunkAudioRow(
            row.chunk_id,
            name,
            spoken=True,
            voice="default",
            sample_count=len(pcm),
            key=key,
            sha256=sha256(data),
            size_bytes=len(data),
            words=canonical_json(words),
            words_digest=row.words_digest,
        )

    def replace_words(self, words: str) -> None:
        """Replace the words' times of every chunk."""
        speech = read_audio_manifest(self.work, BOOK)
        assert speech is not None
        rows = [dataclasses.replace(row, words=words) for row in speech.rows]
        changed = dataclasses.replace(speech, rows=rows)
        self.work.put(manifest_key(audio_manifest.STAGE, BOOK), changed.to_bytes())

    def build(self, *formats: str, workers: int = 1, verify: bool = False, **settings: Any) -> AudiobookReport:
        return build_audiobook(self.work, BOOK, make_settings(*formats, **settings), workers=workers, verify=verify)

    def files(self) -> dict[str, bytes]:
        """The files of the audiobook by key below its folder."""
        assert self.work.local_root is not None
        return files_below(self.work.local_root / "audiobooks" / str(BOOK))


def make_settings(*formats: str, **settings: Any) -> Settings:
    return Settings(
        raw_url="file:///raw", work_url="file:///work", audiobook={"formats": formats or ("m4b",), **settings}
    )


def _slices(marked: str) -> list[list[int]]:
    slices = []
    at = 0
    for part in marked.split("|"):
        slices.append([at, at + len(part)])
        at += len(part) + 1
    return slices


def decode(data: bytes) -> npt.NDArray[np.float64]:
    """Mono audio, full scale ±1, as a player gets it."""
    with av.open(io.BytesIO(data)) as container:
        resampler = av.AudioResampler("fltp", "mono")
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]).astype(np.float64)


def find_offset(audio: npt.NDArray[np.float64], sound: npt.NDArray[np.float64], at: int, reach: int = 96) -> int:
    """By how many samples the sound is later in the audio than `at`."""
    first = max(0, at - reach)
    window = audio[first : at + reach + len(sound)]
    return int(np.argmax(np.correlate(window, sound, "valid"))) + first - at


def row_of(manifest: AudiobookManifest, format: str, chapter: int = 0) -> str:
    """The key of the only file of a format and chapter."""
    (row,) = [row for row in manifest.of_format(format) if row.chapter == chapter]
    return row.key


@pytest.fixture
def builder(tmp_path: Path) -> BookBuilder:
    return BookBuilder(Store(f"file://{tmp_path}/work", create=True))


@pytest.fixture
def tale(builder: BookBuilder) -> BookBuilder:
    """Two chapters with a chunk of two sentences, and a chapter without speech."""
    builder.add_chapter("The Start", ["Chapter one."], ["It was late.|Nobody came.", "The lamp went out, and then on."])
    builder.add_chapter("Notes", ChunkRow("", 0, 0, "paragraph", "1984", skipped="front matter"))
    builder.add_chapter("The <End> & more", ["Chapter two."], ["Morning came at last."])
    return builder
