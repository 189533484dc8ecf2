"""Examines a take: measures it, recognises it where it is in the sample, and finds the times of its words."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from voice_core.audio.pcm import Pcm16
from voice_core.audiobook.chunk_manifest import ChunkRow
from voice_core.audiobook.validation import tier1, tier2
from voice_core.audiobook.validation.config import ValidationConfig
from voice_core.audiobook.validation.heard import align_words, heard_text
from voice_core.audiobook.validation.models import describe_tier2
from voice_core.fingerprint import fingerprint, hash_to_unit_interval
from voice_core.recognition.mos import MosPredictor, load_mos_predictor
from voice_core.recognition.word_times import Aligner, Alignment

VALIDATION_VERSION = 1
Failure = tuple[str, str]
"""A test that a take failed, and the message."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found out about a take. `deviation` is its distance from what is expected, 0 for a perfect take.

    `unusable` says why the audio cannot be used at all.
    """

    metrics: dict[str, Any] = field(default_factory=dict)
    failures: Sequence[Failure] = ()
    deviation: float = 0.0
    alignment: Alignment = field(default_factory=lambda: Alignment(()))
    unusable: str = ""

    @property
    def metrics_json(self) -> str:
        return json.dumps(self.metrics, ensure_ascii=False, sort_keys=True)


@dataclass(frozen=True)
class Examiner:
    """How takes are examined. It is pickled to worker processes, which load the recognisers once each."""

    config: ValidationConfig
    aligner: Aligner
    seed: int = 0

    def check(self, languages: Iterable[str]) -> None:
        """Raises ConfigurationError where a recogniser is missing or does not know one of these languages."""
        if self.config.tier2.enabled:
            tier2.check_models(self.config.tier2, languages)
        if self.config.mos_predictor:
            self._mos_predictor()

    def _mos_predictor(self) -> MosPredictor:
        return load_mos_predictor(self.config.mos_predictor, "audiobook.validation: mos_predictor")

    def _mos_identity(self) -> tuple[str, ...]:
        """Nothing without a predictor, so that books are not examined again where there is none."""
        if not self.config.mos_predictor:
            return ()
        predictor = self._mos_predictor()
        return predictor.name, predictor.revision

    def is_sampled(self, identity: str) -> bool:
        """Whether the chunk of this identity is recognised: always the same ones, and more with a larger share."""
        share = self.config.tier2.whisper_sample_rate if self.config.tier2.enabled else 0.0
        return hash_to_unit_interval("recognise", self.seed, identity) < share

    def identity(self, sampled: bool) -> str:
        """A hash of everything that the result depends on, besides the take."""
        return self._recognised_identity if sampled else self._plain_identity

    def describe(self) -> dict[str, Any]:
        """The settings, with models by their content instead of their folders."""
        return {**self.config.model_dump(exclude={"tier2"}), "tier2": self._tier2}

    @cached_property
    def _tier2(self) -> dict[str, Any]:
        return describe_tier2(self.config.tier2)

    @cached_property
    def _plain_identity(self) -> str:
        return fingerprint(VALIDATION_VERSION, tier1.VERSION, self._plain_settings, *self._mos_identity())

    @cached_property
    def _recognised_identity(self) -> str:
        # The share only decides which chunks are recognised.
        judged = {key: value for key, value in self._tier2.items() if key != "whisper_sample_rate"}
        recognised = tier2.VERSION, judged
        return fingerprint(VALIDATION_VERSION, tier1.VERSION, self._plain_settings, *recognised, *self._mos_identity())

    @property
    def _plain_settings(self) -> tuple[object, ...]:
        config = self.config.model_dump(include={"tier1", "max_retries"})
        return config["tier1"], config["max_retries"], f"{self.aligner.name} {self.aligner.revision}"

    def examine(self, pcm: Pcm16, sample_rate_hz: int, chunk: ChunkRow, *, sampled: bool) -> Examination:
        """Examine 16-bit audio, as it is stored."""
        if not len(pcm):
            return Examination(unusable="the audio is empty")
        if not tier1.has_speech(pcm, sample_rate_hz):
            return Examination(unusable="the audio is silent")
        metrics: dict[str, Any] = {}
        failures: list[Failure] = []
        deviation = 0.0
        if self.config.tier1.enabled:
            measured = tier1.measure(pcm, sample_rate_hz, heard_text(chunk), chunk.language)
            metrics["tier1"] = measured.as_dict()
            failures += tier1.judge(measured, self.config.tier1.limits)
            deviation += abs(float(np.log(measured.pace)))
        if sampled:
            recognised = tier2.recognise(pcm, sample_rate_hz, chunk, self.config.tier2)
            metrics["tier2"] = recognised.as_dict()
            failures += tier2.judge(recognised, self.config.tier2)
            deviation += recognised.error_rate
        if self.config.mos_predictor:
            metrics["mos_score"] = self._mos_predictor().score(pcm, sample_rate_hz)
        alignment = align_words(pcm, sample_rate_hz, chunk, self.aligner)
        if not alignment.words:
            failures.append(("word_times", "the times of the words could not be found"))
        return Examination(metrics, failures, round(deviation, 6), alignment)
