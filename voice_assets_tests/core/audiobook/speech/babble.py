"""An engine whose speech passes the validation, or not, as the test asks. And books for it."""

import itertools
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voice_core.audiobook.chunk_manifest import STAGE, BookManifest, ChunkRow
from voice_core.audiobook.validation.tier1 import expected_sec
from voice_core.fingerprint import hash_to_unit_interval
from voice_core.layout import BookKey, manifest_key
from voice_core.storage.store import Store
from voice_core.synthesis import EngineSpec
from voice_core.tts import Capabilities, EngineBase, Samples, Speech, SpeechEngine, TransientEngineError, Utterance

RATE = 16_000
SYLLABLE_SEC = 0.08
BOOK = BookKey("a book")
_counter = itertools.count()


class BabbleEngine(EngineBase):
    """Syllables of two tones each, as long as speech. Texts with these words have faults: "quiet" is silence, "broken"
    has samples that are not finite, "empty" has none, "clipped" is clipped, "refuse" and "fail" raise errors.

    Utterances with one of `bad_seeds` are cut off, those with one of `silent_seeds` are silent. What is spoken is noted
    in `notes`. `interrupt_at` is the number of the utterance at which the program is interrupted, `kill_at` that at
    which it is killed. With `wild`, no two utterances are equal; with `stubborn`, the seed changes nothing. Utterances
    with one of `failing` in their text, or as their seed, raise errors that a retry may not have. With `clones`, voices
    may be recordings, of which one is kept at a time, as IndexTTS2 does.
    """

    name, revision, sample_rate_hz, voices = "babble", "1", RATE, ("near", "far")

    def __init__(
        self, notes: str = "", bad_seeds: tuple[int, ...] = (), interrupt_at: int = 0, wild: bool = False,
        stubborn: bool = False, kill_at: int = 0, silent_seeds: tuple[int, ...] = (),
        failing: tuple[str, ...] = (), clones: bool = False,
    ) -> None:  # fmt: skip
        self._notes, self._bad_seeds, self._interrupt_at = notes, bad_seeds, interrupt_at
        self._wild, self._stubborn, self._kill_at = wild, stubborn, kill_at
        self._silent_seeds = silent_seeds
        self._failing = failing
        self._count = 0
        self.capabilities = Capabilities(
            deterministic=not wild, thread_safe=True, clones=clones, keeps_one_voice=clones
        )

    def speak(self, utterance: Utterance) -> Speech:
        self._count += 1
        if self._notes:
            with Path(self._notes).open("a") as notes:
                notes.write(f"{utterance.voice}: {utterance.text}\n")
        if self._count == self._interrupt_at:
            raise KeyboardInterrupt
        if self._count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if "refuse" in utterance.text:
            raise ValueError("babble does not say that")
        if "fail" in utterance.text or any(
            item in (str(utterance.seed),) or item in utterance.text for item in self._failing
        ):
            raise TransientEngineError("babble is out of breath")
        return Speech(self._audio(utterance), RATE, self.name, self.revision)

    def _audio(self, utterance: Utterance) -> Samples:
        text, seed = utterance.text, utterance.seed
        if "empty" in text:
            return np.zeros(0, np.float32)
        voice = self.prompt_identity(utterance.voice) or utterance.voice
        drawn = hash_to_unit_interval(text, voice, "" if self._stubborn else seed)
        rng = np.random.default_rng([int(drawn * 2**52), next(_counter) if self._wild else 0])
        size = int(SYLLABLE_SEC * RATE)
        at = np.arange(size) / RATE
        syllables = [
            sum(np.sin(2 * np.pi * hz * at) for hz in rng.uniform(150, 5_000, 2)) * np.sin(np.pi * at / SYLLABLE_SEC)
            for _ in range(max(3, round(expected_sec(text, "en")[0] / SYLLABLE_SEC)))
        ]
        audio = 0.15 * np.concatenate(syllables) * (0.5 if utterance.voice == "far" else 1.0)
        if "clipped" in text:
            audio = np.clip(audio * 20, -0.9, 0.9)
        if "quiet" in text or seed in self._silent_seeds:
            audio *= 0
        if "broken" in text:
            audio[5] = np.nan
        audio = np.pad(audio, (RATE // 5, RATE // 4))
        if seed in self._bad_seeds or (self._stubborn and "cut" in text):
            audio = audio[: len(audio) - RATE // 4 - size // 2]
        return audio.astype(np.float32)

    def stream(self, utterance: Utterance) -> Iterator[Samples]:
        yield self.speak(utterance).audio

    def warm(self, voice: str) -> None: ...
    def clear(self) -> None: ...


@dataclass(frozen=True)
class BabbleSpec(EngineSpec):
    def load(self) -> SpeechEngine:
        return BabbleEngine(**self.options)  # type: ignore[arg-type]


def babble(**options: Any) -> EngineSpec:
    return BabbleSpec("babble", options, 0.1, thread_safe=True)


def make_chunk(number: int, text: str, voice: str = "near", chapter: int = 1, **columns: Any) -> ChunkRow:
    place = f"ch{chapter}.xhtml#p{number}"
    return ChunkRow(
        f"{chapter:03d}-{number:04d}", chapter, number, "paragraph", text, columns.pop("spoken_text", text),
        voice=voice, language="en", place=place, **columns,
    )  # fmt: skip


def write_book(store: Store, *texts: str | ChunkRow, complete: bool = True, book: BookKey = BOOK) -> list[ChunkRow]:
    """Commit the text of a book. Returns its chunks."""
    rows = [make_chunk(at, item) if isinstance(item, str) else item for at, item in enumerate(texts, 1)]
    skipped = ChunkRow("", 1, 0, "note", "A note.", skipped="notes")
    manifest = BookManifest(str(book), complete, "x", chapters=(("One", 1),), rows=(skipped, *rows))
    store.put(manifest_key(STAGE, book), manifest.to_bytes())
    return rows
