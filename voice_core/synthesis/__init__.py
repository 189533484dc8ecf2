"""Utterances in, speech out: over one engine or several, in bounded memory, whatever becomes of a single utterance."""

from voice_core.synthesis.engine_pool import EnginePool, synthesise
from voice_core.synthesis.sizing import Machine, WorkerPlan, choose_workers
from voice_core.synthesis.stats import SynthesisStats
from voice_core.synthesis.types import (
    Backend,
    EngineSpec,
    SpokenGroup,
    SynthesisError,
    SynthesisFailure,
    SynthesisOptions,
    UtteranceGroup,
)

__all__ = [
    "Backend",
    "EnginePool",
    "EngineSpec",
    "Machine",
    "SpokenGroup",
    "SynthesisError",
    "SynthesisFailure",
    "SynthesisOptions",
    "SynthesisStats",
    "UtteranceGroup",
    "WorkerPlan",
    "choose_workers",
    "synthesise",
]  # fmt: skip
