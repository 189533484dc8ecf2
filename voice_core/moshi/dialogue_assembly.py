"""Assembles a spoken dialogue: its turns aligned and mixed, its files and its rows. Pure, except for the aligner."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from voice_core.audio.pcm import Pcm16
from voice_core.audio.speech_level import NoSpeechError
from voice_core.fingerprint import sha256
from voice_core.moshi.batch_plan import DialoguePlan
from voice_core.moshi.mixing import (
    PlacedSpeech,
    apply_gain,
    encode_wav,
    is_peak_limited,
    level_dbfs,
    measure_extent,
    mix_stereo,
    speech_level_dbfs,
)
from voice_core.moshi.script import BadDialogueLine
from voice_core.moshi.shard_manifest import LABELS, OTHER_TURN, TurnRow, words_json
from voice_core.moshi.text_tokens import TOKENS_PER_SEC, estimate_tokens
from voice_core.moshi.turn_timing import plan_turns
from voice_core.moshi.word_alignments import align_turn, aligner_version, encode_sidecar
from voice_core.recognition.text_words import split_words
from voice_core.recognition.word_times import Aligner, Alignment, AlignmentError
from voice_core.settings import MoshiSettings
from voice_core.stages.verdicts import Reject
from voice_core.synthesis.types import SynthesisFailure
from voice_core.synthesis.voice_levels import LevelUnknown
from voice_core.tts.base import Speech, Utterance

READING, SPEAKING = "reading", "speaking"
LEVEL_UNKNOWN = "voice_level_unknown"
"""The reason of a turn whose voice has no level."""


@dataclass(frozen=True, slots=True)
class SpokenDialogue:
    """All utterances of a dialogue by turn: spoken now, or cut out of the old file. `levels` has the level, dBFS, of
    each voice that spoke now, or why it is unknown."""

    plan: DialoguePlan
    spoken: Mapping[int, Speech | SynthesisFailure]
    reused: Mapping[int, Pcm16]
    levels: Mapping[str, float | LevelUnknown] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AssembledDialogue:
    """A dialogue's rows and files; without files where it was rejected."""

    index: int
    rows: tuple[TurnRow, ...]
    wav: bytes | None = field(default=None, repr=False)
    sidecar: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _AlignedTurn:
    pcm: Pcm16
    alignment: Alignment


def assemble_dialogue(made: SpokenDialogue, aligner: Aligner, settings: MoshiSettings) -> AssembledDialogue:
    """A dialogue's files and rows.

    A dialogue is rejected, with all of its rows, where an utterance failed, is silent, cannot be aligned, or has a
    voice of unknown level. Raises KeyError where a turn is missing.
    """
    plan = made.plan
    aligned = [_align_turn(made, turn, aligner, settings) for turn in range(len(plan.utterances))]
    rejects = {turn: item for turn, item in enumerate(aligned) if isinstance(item, Reject)}
    if rejects:
        return AssembledDialogue(plan.index, tuple(_rejected_rows(plan, rejects)))
    good = [item for item in aligned if isinstance(item, _AlignedTurn)]
    starts = plan_turns(plan.dialogue, [measure_extent(item.pcm) for item in good], settings)
    roles = [turn.role for turn in plan.dialogue.turns]
    mix = mix_stereo(PlacedSpeech(role, start, item.pcm) for role, start, item in zip(roles, starts, good, strict=True))
    wav = encode_wav(mix)
    sidecar = encode_sidecar(
        (LABELS[role], start, item.alignment) for role, start, item in zip(roles, starts, good, strict=True)
    )
    shared: dict[str, Any] = {
        "kept": True,
        "aligner": aligner_version(aligner),
        "dialogue_fingerprint": plan.fingerprint,
        "dialogue_samples": len(mix),
        "key": plan.key,
        "sha256": sha256(wav),
        "size_bytes": len(wav),
        "sidecar_sha256": sha256(sidecar),
        "sidecar_bytes": len(sidecar),
    }
    rows = [
        dataclasses.replace(
            _row(plan, turn), **shared, start_sample=start, **_turn_columns(item, plan.utterances[turn], settings)
        )
        for turn, (start, item) in enumerate(zip(starts, good, strict=True))
    ]
    return AssembledDialogue(plan.index, tuple(rows), wav, sidecar)


def _align_turn(made: SpokenDialogue, turn: int, aligner: Aligner, settings: MoshiSettings) -> _AlignedTurn | Reject:
    plan = made.plan
    pcm = made.reused[turn] if turn in made.reused else _level_speech(made, turn, settings)
    if isinstance(pcm, Reject):
        return pcm
    try:
        committed_row = plan.old[turn] if turn in made.reused else None
        return _AlignedTurn(pcm, align_turn(pcm, plan.utterances[turn], aligner, committed_row))
    except AlignmentError as error:
        return Reject(SPEAKING, "alignment_failed", message=str(error))


def _level_speech(made: SpokenDialogue, turn: int, settings: MoshiSettings) -> Pcm16 | Reject:
    """A turn's speech at the level of its role, or why there is none."""
    speech = made.spoken[turn]
    if isinstance(speech, SynthesisFailure):
        return Reject(SPEAKING, f"speech_{speech.reason}", message=speech.description)
    level = made.levels[made.plan.utterances[turn].voice]
    target_dbfs = level_dbfs(made.plan.dialogue.turns[turn].role, settings)
    gain_db = 0.0 if isinstance(level, LevelUnknown) else target_dbfs - level
    try:
        pcm = apply_gain(speech.audio, speech.sample_rate_hz, gain_db, settings.peak_limit_dbfs)
    except NoSpeechError as error:
        return Reject(SPEAKING, "no_speech", message=str(error))
    if isinstance(level, LevelUnknown):
        message = f"{level.message} (moshi.level_text sets the text that is spoken to measure it)"
        return Reject(SPEAKING, LEVEL_UNKNOWN, message=message)
    return pcm


def _turn_columns(item: _AlignedTurn, utterance: Utterance, settings: MoshiSettings) -> dict[str, Any]:
    words = item.alignment.words
    rate = round(estimate_tokens(split_words(utterance.text)) / (words[-1].end_sec - words[0].start_sec), 3)
    return {
        "sample_count": len(item.pcm),
        "level_dbfs": round(speech_level_dbfs(item.pcm), 2),
        "peak_limited": is_peak_limited(item.pcm, settings.peak_limit_dbfs),
        "words": words_json(words),
        "approximate": item.alignment.approximate,
        "tokens_per_sec": rate,
        "dense": rate > TOKENS_PER_SEC,
    }


def _row(plan: DialoguePlan, turn: int) -> TurnRow:
    utterance = plan.utterances[turn]
    return TurnRow(
        plan.dialogue.id,
        turn,
        role=plan.dialogue.turns[turn].role,
        text=utterance.text,
        voice=utterance.voice,
        emotion=utterance.emotion,
        fingerprint=plan.fingerprints[turn],
    )


def _rejected_rows(plan: DialoguePlan, rejects: Mapping[int, Reject]) -> list[TurnRow]:
    other = Reject(SPEAKING, OTHER_TURN, message=f"turn {min(rejects) + 1} could not be made")
    verdicts = [rejects.get(turn, other) for turn in range(len(plan.utterances))]
    return [
        dataclasses.replace(_row(plan, turn), stage=verdict.stage, reason=verdict.reason, message=verdict.message)
        for turn, verdict in enumerate(verdicts)
    ]


def bad_line_row(item: BadDialogueLine) -> TurnRow:
    return TurnRow(item.id, line=item.line, stage=READING, reason=item.reason, message=item.message)
