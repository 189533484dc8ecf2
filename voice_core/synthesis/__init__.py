"""Utterances in, speech out: over one engine or several, in bounded memory, whatever becomes of a single utterance."""

from voice_core.synthesis.choice import Choice, Machine, choose
from voice_core.synthesis.nouns import Backend, EngineSpec, Failure, Group, Spoken, SynthesisError, SynthesisOptions
from voice_core.synthesis.stats import Stats
from voice_core.synthesis.studio import Studio, synthesise

__all__ = [
    "Backend", "Choice", "EngineSpec", "Failure", "Group", "Machine", "Spoken", "Stats", "Studio", "SynthesisError",
    "SynthesisOptions", "choose", "synthesise",
]  # fmt: skip
