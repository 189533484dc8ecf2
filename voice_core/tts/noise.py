"""Noise: speech-like noise without a model, thousands of times faster than real time. For throughput runs and tests."""

import hashlib
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
from pydantic import Field

from voice_core.settings import SettingsGroup
from voice_core.tts.base import Capabilities, EngineBase, Samples, Speech, TransientEngineError, Utterance
from voice_core.tts.declaration import EngineDeclaration

CHARS_PER_SEC: Final = 14.0
"""Characters, with spaces, per second of read English without pauses."""
CHARS_PER_SYLLABLE: Final = 3
SHORT_PAUSE_SEC: Final = 0.15
LONG_PAUSE_SEC: Final = 0.4
ACTIVE_RMS: Final = 10 ** (-22 / 20)
"""Level outside pauses; with the pauses of prose, the level is about -23 dBFS."""
PEAK: Final = 0.95
PITCH_HZ: Final = {"high": 210.0, "low": 110.0}
STREAM_PIECE_SEC: Final = 0.25
_HUM_LOG2: Final = 18  # samples of a voice's noise, about 11 s
_LONG, _SHORT = ".!?…。！？؟۔", ",;:،؛，、；：—–"
_PART = re.compile(rf"(?P<long>[{_LONG}]+)|(?P<short>[{_SHORT}]+)|[^\s{_LONG}{_SHORT}]+")


class NoiseOptions(SettingsGroup):
    """Texts that contain `fail_on` fail: always with ValueError if `fail_times` is 0, else with TransientEngineError in
    the first `fail_times` attempts of one instance."""

    sample_rate_hz: int = Field(default=24_000, ge=8_000, le=192_000)
    work_sec_per_sec: float = Field(default=0.0, ge=0)  # CPU time per second of speech, spent outside the GIL
    fail_on: str = ""
    fail_times: int = Field(default=0, ge=0)


class NoiseEngine(EngineBase):
    """Syllables of noise at a voice's pitch, with the length of speech. Any language, any voice."""

    name = "noise"
    voices = tuple(PITCH_HZ)
    capabilities = Capabilities(deterministic=True, thread_safe=True, streams=True, clones=True)

    def __init__(self, options: NoiseOptions | None = None) -> None:
        self.options = options or NoiseOptions()
        self._failures: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type["NoiseEngine"], tuple[NoiseOptions]]:
        return NoiseEngine, (self.options,)

    @property
    def revision(self) -> str:
        return f"2-{self.options.sample_rate_hz}"

    @property
    def sample_rate_hz(self) -> int:
        return self.options.sample_rate_hz

    def speak(self, utterance: Utterance) -> Speech:
        """Raises ValueError for a text without a letter or digit, and the errors that the option `fail_on` asks for."""
        began = time.perf_counter()
        audio = self._audio(utterance)
        self._work(len(audio))
        return Speech(audio, self.sample_rate_hz, self.name, self.revision, time.perf_counter() - began)

    def stream(self, utterance: Utterance) -> Iterator[Samples]:
        """The audio of `speak` in pieces of a quarter of a second, each after its share of the work."""
        audio = self._audio(utterance)
        step = round(STREAM_PIECE_SEC * self.sample_rate_hz)
        for start in range(0, len(audio), step):
            piece = audio[start : start + step]
            self._work(len(piece))
            yield piece

    def warm(self, voice: str) -> None:
        _voice_noise(voice, self.sample_rate_hz)

    def clear(self) -> None:
        """Nothing to drop: nothing that is cached can change."""

    def _audio(self, utterance: Utterance) -> Samples:
        if not any(char.isalnum() for char in utterance.text):
            raise ValueError(f"there is nothing to speak in {utterance.text!r}")
        self._fail(utterance.text)
        key = f"{utterance.seed}\0{utterance.voice}\0{utterance.text}".encode()
        rng = np.random.default_rng(int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little"))
        hop = self.sample_rate_hz // 100
        spans = _spans(utterance.text)
        levels = (0.6 + 0.8 * rng.random(len(spans))).tolist()
        audio: Samples = np.concatenate(
            [
                _syllable(hops * hop) * np.float32(level) if voiced else np.zeros(hops * hop, np.float32)
                for (hops, voiced), level in zip(spans, levels, strict=True)
            ]
        )
        hum = _voice_noise(utterance.voice, self.sample_rate_hz)
        start = int(rng.integers(len(hum)))
        for at in range(-start, len(audio), len(hum)):
            piece = audio[max(at, 0) : at + len(hum)]
            piece *= hum[max(-at, 0) : max(-at, 0) + len(piece)]
        active = sum(hops for hops, voiced in spans if voiced) * hop
        # Not np.dot: BLAS splits the sum into as many parts as it has threads.
        rms = float(np.sqrt(np.sum(np.square(audio)) / active))
        peak = max(float(audio.max()), -float(audio.min()))
        audio *= min(ACTIVE_RMS / rms, PEAK / peak)
        return audio

    def _fail(self, text: str) -> None:
        if not self.options.fail_on or self.options.fail_on not in text:
            return
        if not self.options.fail_times:
            raise ValueError(f"the option fail_on is {self.options.fail_on!r}: {text!r}")
        with self._lock:
            self._failures[text] += 1
            if self._failures[text] > self.options.fail_times:
                return
            count = self._failures[text]
        raise TransientEngineError(
            f"the option fail_times is {self.options.fail_times}, this is failure {count}: {text!r}"
        )

    def _work(self, samples: int) -> None:
        """Use CPU time of this thread without the GIL, as native code does."""
        until = time.thread_time() + self.options.work_sec_per_sec * samples / self.sample_rate_hz
        while time.thread_time() < until:
            hashlib.blake2b(_BUSY_WORK)


_BUSY_WORK: Final = bytes(1 << 16)  # about 80 µs of work; hashlib releases the GIL for it


def _spans(text: str) -> list[tuple[int, bool]]:
    """Syllables (True) and pauses (False) of a text, each as long as so many hundredths of a second.

    >>> _spans("Well, go.")
    [(14, True), (15, True), (7, False), (15, False), (14, True), (7, False), (40, False)]
    """
    spans: list[tuple[int, bool]] = []
    char_hops = 100 / CHARS_PER_SEC
    for part in _PART.finditer(text):
        if part["long"]:
            spans.append((round(100 * LONG_PAUSE_SEC), False))
        elif part["short"]:
            spans.append((round(100 * SHORT_PAUSE_SEC), False))
        else:
            length = len(part[0])
            syllables = -(-length // CHARS_PER_SYLLABLE)
            edges = [round(char_hops * length * number / syllables) for number in range(syllables + 1)]
            spans += [(end - start, True) for start, end in pairwise(edges)]
            spans.append((round(char_hops), False))
    return spans


@lru_cache(maxsize=256)
def _syllable(samples: int) -> Samples:
    """A sin² envelope, whose mean square is 3/8; shape [samples]."""
    return (np.sin(np.pi * (np.arange(samples) + 0.5) / samples) ** 2).astype(np.float32)


@lru_cache(maxsize=16)
def _voice_noise(voice: str, sample_rate_hz: int) -> Samples:
    """Noise around the harmonics of a voice's pitch, falling by 12 dB an octave above 500 Hz; it loops seamlessly."""
    digest = int.from_bytes(hashlib.blake2b(voice.encode(), digest_size=8).digest(), "little")
    pitch_hz = PITCH_HZ.get(voice) or 90 + 160 * (digest % 997) / 997
    size = 1 << _HUM_LOG2
    freq_hz = np.fft.rfftfreq(size, 1 / sample_rate_hz)
    off_harmonic = (freq_hz / pitch_hz + 0.5) % 1 - 0.5
    amplitude = np.exp(-((off_harmonic / 0.06) ** 2)) / (1 + (freq_hz / 500) ** 2)
    amplitude[freq_hz < pitch_hz / 2] = 0
    phases = np.random.default_rng(digest).random(len(freq_hz))
    hum = np.fft.irfft(amplitude * np.exp(2j * np.pi * phases), size)
    return (hum / hum.std()).astype(np.float32)


ENGINE = EngineDeclaration("noise", NoiseEngine, settings=NoiseOptions, memory_gb=0.1)
