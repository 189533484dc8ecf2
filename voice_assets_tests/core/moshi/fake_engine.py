"""An engine whose voices differ in loudness, as recordings do."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voice_core.fingerprint import hash_to_unit_interval
from voice_core.synthesis import EngineSpec
from voice_core.synthesis.voice_levels import SENTENCES
from voice_core.tts import Capabilities, EngineBase, Samples, Speech, SpeechEngine, Utterance

LOUD_DB = {"near": 0.0, "far": -12.0}


class FakeEngine(EngineBase):
    """Tones at the level of their voice; an emotion "soft" is 9 dB softer, and "sudden" has a clap in it.

    What is said is noted in `folder`. `mute` voices refuse the sentences over which levels are measured, `muffled` ones
    the first of them.
    """

    name, revision, sample_rate_hz, voices = "choir", "1", 22_050, tuple(LOUD_DB)
    capabilities = Capabilities(deterministic=True, thread_safe=True, emotions=("soft", "sudden"))

    def __init__(self, folder: str, mute: tuple[str, ...] = (), muffled: tuple[str, ...] = ()) -> None:
        self._notes = Path(folder) / "notes"
        self._mute, self._muffled = mute, muffled

    def speak(self, utterance: Utterance) -> Speech:
        with self._notes.open("a") as notes:
            notes.write(f"{utterance.voice}: {utterance.text}\n")
        sentences = SENTENCES["en"]
        if utterance.text in sentences[: 3 if utterance.voice in self._mute else utterance.voice in self._muffled]:
            raise ValueError(f"{utterance.voice} has no breath for this")
        draw = hash_to_unit_interval(utterance.text, utterance.voice, utterance.seed)
        seconds = 0.3 + 0.04 * len(utterance.text)
        wave = np.sin(2 * np.pi * (150 + 300 * draw) * np.arange(int(22_050 * seconds)) / 22_050)
        level_db = LOUD_DB[utterance.voice] + (draw - 0.5) - (9.0 if utterance.emotion == "soft" else 0.0)
        audio = 0.3 * 10 ** (level_db / 20) * wave
        if utterance.emotion == "sudden":
            audio[len(audio) // 2] = 30.0 * np.abs(audio).max()
        padded = np.pad(audio, 2_000).astype(np.float32)
        return Speech(padded, self.sample_rate_hz, self.name, self.revision)

    def stream(self, utterance: Utterance) -> Iterator[Samples]:
        yield self.speak(utterance).audio

    def warm(self, voice: str) -> None: ...
    def clear(self) -> None: ...


@dataclass(frozen=True)
class FakeEngineSpec(EngineSpec):
    def load(self) -> SpeechEngine:
        return FakeEngine(**self.options)  # type: ignore[arg-type]
