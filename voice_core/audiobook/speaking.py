"""What a build asks of its engines: takes of chunks, and the levels of voices."""

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from voice_core.audiobook.audio_manifest import ChunkAudioManifest
from voice_core.storage.store import Store
from voice_core.synthesis import EnginePool, SynthesisFailure, SynthesisStats
from voice_core.synthesis.types import UtteranceGroup
from voice_core.synthesis.voice_levels import Calibration, LevelUnknown, VoiceLevels
from voice_core.tts.base import Speech, SpeechEngine, Utterance

_ONE_VOICE_AHEAD = 512  # chunks that an engine which keeps one voice may sort by voice
_log = logging.getLogger(__name__)
Id = TypeVar("Id")
Requests = Sequence[tuple[int, Utterance]]
SpeakFunction = Callable[[Requests], Iterable[tuple[int, Speech | SynthesisFailure]]]
"""Speaks utterances, each exactly once, in any order. The numbers identify them."""
LEVEL_PROBLEMS = "level_problems"
"""The parameter of the manifest with the voices whose level could not be measured, each with the reason."""


@dataclass(frozen=True, slots=True)
class VoiceGains:
    """The gain of each voice, dB. `problems` says why the level of a voice could not be measured; its gain is 0."""

    gains_db: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_manifest(cls, manifest: ChunkAudioManifest) -> "VoiceGains":
        return cls(dict(manifest.gains_db), dict(manifest.parameters.get(LEVEL_PROBLEMS, {})))

    @property
    def parameters(self) -> dict[str, dict[str, str]]:
        """What the manifest's parameters say of the problems."""
        return {LEVEL_PROBLEMS: self.problems} if self.problems else {}

    @property
    def is_sure(self) -> bool:
        """Whether all levels are known. Manifests of earlier versions have a gain of 0 without a problem."""
        return not self.problems and all(self.gains_db.values())


class Speaking:
    """Speaks through a pool, and counts. `given` has the voices as the engine takes them, by their stored names.

    `takes`, `speech_sec` and `stats` go on from what they are set to.
    """

    def __init__(self, engine_pool: EnginePool, speaker: SpeechEngine, label: str, given: Mapping[str, str]) -> None:
        self.stats = SynthesisStats()
        self.takes, self.speech_sec = 0, 0.0
        self.sample_rate_hz = speaker.sample_rate_hz
        self.examining_workers = engine_pool.options.postprocess_workers
        self._pool, self._one_voice, self._label = engine_pool, speaker.capabilities.keeps_one_voice, label
        self._given = given

    def speak_takes(self, requests: Requests) -> Iterator[tuple[int, Speech | SynthesisFailure]]:
        for number, result in self._speak(requests):
            if isinstance(result, Speech):
                self.takes += 1
                self.speech_sec += result.duration_sec
            yield number, result

    def measure_gains(self, store: Store, calibrations: Sequence[Calibration], level_dbfs: float) -> VoiceGains:
        """The gain of each voice that brings it to `level_dbfs`. Levels that are not stored are measured."""
        levels = VoiceLevels(store, calibrations)
        for where, result in self._speak(levels.missing_utterances):
            levels.add_result(where, result)
        gains, problems = {}, {}
        for voice, level in sorted((levels.levels_of(item.voice for item in calibrations) or {}).items()):
            if isinstance(level, LevelUnknown):
                _log.warning("%s; its gain is 0 dB, and the next run measures it again", level.message)
                problems[voice] = level.message
            gains[voice] = 0.0 if isinstance(level, LevelUnknown) else round(level_dbfs - level, 2)
        return VoiceGains(gains, problems)

    def _speak(self, requests: Sequence[tuple[Id, Utterance]]) -> Iterator[tuple[Id, Speech | SynthesisFailure]]:
        if not requests:
            return
        options = self._pool.options
        ahead = max(options.planner_buffer, _ONE_VOICE_AHEAD) if self._one_voice else options.planner_buffer
        run = dataclasses.replace(
            options,
            planner_buffer=ahead,
            ordered=False,
            group_by_voice=self._one_voice,
            total=len(requests),
            label=self._label,
        )
        utterances = (dataclasses.replace(item, voice=self._given.get(item.voice, item.voice)) for _, item in requests)
        groups = (UtteranceGroup(str(number), (utterance,)) for number, utterance in enumerate(utterances))
        with contextlib.closing(self._pool.synthesise(groups, self.stats, run)) as spoken:
            for group in spoken:
                yield requests[int(group.key)][0], group.speeches[0]
