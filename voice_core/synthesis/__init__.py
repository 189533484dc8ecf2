"""Utterances in, speech out: over one engine or several, in bounded memory, whatever becomes of a single utterance."""

from voice_core.synthesis.engine_pool import Studio, synthesise
from voice_core.synthesis.sizing import Choice, Machine, choose
from voice_core.synthesis.stats import Stats
from voice_core.synthesis.types import Backend, EngineSpec, Failure, Group, Spoken, SynthesisError, SynthesisOptions

__all__ = [
    "Backend", "Choice", "EngineSpec", "Failure", "Group", "Machine", "Spoken", "Stats", "Studio", "SynthesisError",
    "SynthesisOptions", "choose", "synthesise",
]  # fmt: skip
