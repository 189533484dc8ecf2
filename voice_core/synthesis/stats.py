"""Statistics of a synthesis run."""

import json
import logging
import time
from dataclasses import dataclass, field

from voice_core.tts import Speech

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class SynthesisStats:
    """Figures of one run, updated while it runs. Times in seconds.

    `waiting` counts utterances that were read and not begun (the queue's depth), `begun` those with a worker.
    `voice_switches` is how often an engine had to change its voice, the first one included. `engine_sec` is the time
    that engines spoke, `engines_sec` the time that they were loaded.
    """

    total: int = 0
    utterances: int = 0
    failures: int = 0
    retries: int = 0
    crashes: int = 0
    groups: int = 0
    waiting: int = 0
    begun: int = 0
    voice_switches: int = 0
    speech_sec: float = 0.0
    engine_sec: float = 0.0
    backend: str = ""
    workers: int = 0
    _began: float = field(default_factory=time.monotonic)
    _ended: float = 0.0
    _ready: dict[int, float] = field(default_factory=dict)

    def ready(self, worker: int, at: float | None = None) -> None:
        """Note that the engine of this worker is loaded since `at`, of `time.monotonic`, or now."""
        self._ready.setdefault(worker, time.monotonic() if at is None else at)

    def add_speech(self, speech: Speech) -> None:
        self.utterances += 1
        self.speech_sec += speech.duration_sec

    def end(self) -> None:
        self._ended = time.monotonic()

    @property
    def wall_sec(self) -> float:
        return (self._ended or time.monotonic()) - self._began

    @property
    def engines_sec(self) -> float:
        now = self._ended or time.monotonic()
        return sum(now - ready for ready in self._ready.values())

    @property
    def engine_busy_share(self) -> float:
        """The share of the time that engines were loaded in which they spoke."""
        return self.engine_sec / self.engines_sec if self._ready and self.engines_sec else 0.0

    @property
    def utterances_per_sec(self) -> float:
        return (self.utterances + self.failures) / self.wall_sec if self.wall_sec else 0.0

    @property
    def real_time_factor(self) -> float:
        """Seconds of wall time per second of speech; 0 without speech."""
        return self.wall_sec / self.speech_sec if self.speech_sec else 0.0

    @property
    def left_sec(self) -> float | None:
        """Remaining time at the speed so far; None where the total is unknown or nothing is done yet."""
        speed = self.utterances_per_sec
        done = self.utterances + self.failures
        return max(0, self.total - done) / speed if self.total and speed else None

    @property
    def summary(self) -> str:
        """A short text for the progress display."""
        return f"{self.waiting} waiting, {self.utterances_per_sec:.1f}/s, real-time factor {self.real_time_factor:.2f}"

    def as_dict(self) -> dict[str, object]:
        plain = (
            "backend", "workers", "total", "utterances", "failures", "retries", "crashes", "groups", "waiting",
            "begun", "voice_switches",
        )  # fmt: skip
        measured = (
            "wall_sec", "speech_sec", "engine_sec", "engine_busy_share", "utterances_per_sec", "real_time_factor",
        )  # fmt: skip
        left = self.left_sec
        return {
            **{name: getattr(self, name) for name in plain},
            **{name: round(getattr(self, name), 4) for name in measured},
            "left_sec": None if left is None else round(left, 1),
        }

    def log(self) -> None:
        """One line of JSON."""
        _log.info("%s", json.dumps(self.as_dict()))
