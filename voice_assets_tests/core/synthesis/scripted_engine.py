"""Engines that fail as configured, and specs that load them in any process."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voice_core.synthesis import EngineSpec
from voice_core.tts import Capabilities, EngineBase, Samples, Speech, SpeechEngine, Utterance
from voice_core.tts.base import EngineBrokenError, EngineUnavailableError


class ScriptedEngine(EngineBase):
    """Noise that is a function of the utterance; the text's first word says what happens before.

    `bad` raises ValueError, `broken` RuntimeError, `flaky` RuntimeError the first time, `crash` kills the process,
    `crash-once` the first time, `lost` raises EngineBrokenError as does everything after it, `lost-once` the first
    time, `none` answers nothing, `unavailable` raises EngineUnavailableError, `slow` takes a second, `hang` a minute.
    First times are remembered in `folder`, which all processes share, and so is every voice that had to be taken up.
    """

    name, revision, sample_rate_hz, voices = "scripted", "1", 24_000, ("a", "b")

    def __init__(self, folder: str = "", cost_sec: float = 0.0, samples: int = 240, thread_safe: bool = True) -> None:
        self._folder = Path(folder) if folder else None
        self._cost_sec, self._samples = cost_sec, samples
        self.capabilities = Capabilities(deterministic=True, thread_safe=thread_safe)
        self._voice = ""
        self._lost = False
        self._inside = threading.Semaphore(99 if thread_safe else 1)

    def speak(self, utterance: Utterance) -> Speech:
        if not self._inside.acquire(blocking=False):
            raise AssertionError("two threads at once")
        try:
            return self._speak(utterance)
        finally:
            self._inside.release()

    def _speak(self, utterance: Utterance) -> Speech:
        if utterance.voice != self._voice:
            self._voice = utterance.voice
            self._note("voices", f"{os.getpid()} {utterance.voice}")
        what = utterance.text.partition(" ")[0]
        if what == "bad":
            raise ValueError("it cannot be said")
        if what == "lost" or (what == "lost-once" and self._first(utterance.text)):
            self._lost = True
        if self._lost:
            raise EngineBrokenError("the GPU is gone")
        if what == "unavailable":
            raise EngineUnavailableError("no weights")
        if what == "broken" or (what == "flaky" and self._first(utterance.text)):
            raise RuntimeError("out of luck")
        if what == "crash" or (what == "crash-once" and self._first(utterance.text)):
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "none":
            return None  # type: ignore[return-value]
        time.sleep({"slow": 1.0, "hang": 60.0}.get(what, self._cost_sec))
        seed = np.frombuffer(repr(utterance).encode().ljust(8), np.uint8)
        noise = np.random.default_rng(seed).uniform(-0.5, 0.5, self._samples + len(utterance.text))
        return Speech(noise.astype(np.float32), self.sample_rate_hz, self.name, self.revision)

    def _first(self, text: str) -> bool:
        assert self._folder is not None
        try:
            (self._folder / text.replace(" ", "-")).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _note(self, name: str, line: str) -> None:
        if self._folder is not None:
            with (self._folder / name).open("a") as file:
                file.write(line + "\n")

    def stream(self, utterance: Utterance) -> Iterator[Samples]:
        yield self.speak(utterance).audio

    def warm(self, voice: str) -> None: ...
    def clear(self) -> None: ...


@dataclass(frozen=True)
class ScriptedEngineSpec(EngineSpec):
    def load(self) -> SpeechEngine:
        if self.name == "absent":
            raise FileNotFoundError("no checkpoint")
        if self.name == "deadly" and multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return ScriptedEngine(**self.options)  # type: ignore[arg-type]


def scripted_spec(*, name: str = "scripted", thread_safe: bool = True, **options: object) -> ScriptedEngineSpec:
    return ScriptedEngineSpec(name, {"thread_safe": thread_safe, **options}, memory_gb=0.1, thread_safe=thread_safe)
