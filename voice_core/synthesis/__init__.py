"""Utterances in, speech out: over one engine or several, in bounded memory, whatever becomes of a single utterance."""

from voice_core.synthesis.engine_pool import EnginePool, synthesise
from voice_core.synthesis.sizing import WorkerPlan, Machine, choose_workers
from voice_core.synthesis.stats import SynthesisStats
from voice_core.synthesis.types import Backend, EngineSpec, SynthesisFailure, UtteranceGroup, SpokenGroup, SynthesisError, SynthesisOptions

__all__ = [
    "Backend", "WorkerPlan", "EngineSpec", "SynthesisFailure", "UtteranceGroup", "Machine", "SpokenGroup", "SynthesisStats", "EnginePool", "SynthesisError",
    "SynthesisOptions", "choose_workers", "synthesise",
]  # fmt: skip
