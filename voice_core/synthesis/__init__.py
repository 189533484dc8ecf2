"""Speech synthesis over one or several engines, in bounded memory; an utterance that fails does not end the run."""

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
