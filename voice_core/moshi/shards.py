"""What a batch of dialogues needs, and what is made of a dialogue once it is spoken. Pure, but for the aligner.

What is unchanged stays: a dialogue whose fingerprint is that of its files is not touched, and of one that changed only
those utterances are spoken that are new; the others are cut back out of its old file, where they stand as they were
mixed. Reading and writing is in `committing`.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from voice_core.audio.pcm import Pcm16
from voice_core.fingerprint import fingerprint, sha256
from voice_core.layout import PartitionKey
from voice_core.moshi.levels import Calibration, sentences_for
from voice_core.moshi.mixing import (
    MIXING_VERSION,
    NoSpeechError,
    PlacedSpeech,
    apply_gain,
    encode_wav,
    is_peak_limited,
    level_dbfs,
    measure_extent,
    mix_stereo,
    speech_level_dbfs,
)
from voice_core.moshi.script import SAMPLE_RATE_HZ, BadDialogueLine, Dialogue, Turn
from voice_core.moshi.shard_manifest import LABELS, OTHER_TURN, ShardManifest, TurnRow, wav_key, words_json
from voice_core.moshi.synthesis_types import UtteranceFailure
from voice_core.moshi.timing import TIMING_VERSION, plan_turns
from voice_core.recognition.aligners import Aligner, Alignment, AlignmentError
from voice_core.recognition.words import TOKENS_PER_SEC, estimate_tokens, split_words
from voice_core.settings import MoshiSettings
from voice_core.tts.base import Speech, SpeechEngine, Utterance

SHARD_VERSION = 2
READING, SPEAKING = "reading", "speaking"
_TIMING = ("gap_median_sec", "gap_spread", "gap_min_sec", "gap_max_sec", "overlap_probability", "overlap_max_sec")


@dataclass(frozen=True, slots=True)
class ModelVersions:
    """What speaks and listens. `recordings` and `emotions`: hashes of the recordings that are voices and of those that
    are emotions, by what scripts call them."""

    engine: str
    revision: str
    aligner: str
    recordings: Mapping[str, str] = field(default_factory=dict)
    emotions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_models(
        cls,
        engine: SpeechEngine,
        aligner: Aligner,
        recordings: Mapping[str, str] | None = None,
        emotions: Mapping[str, str] | None = None,
    ) -> "ModelVersions":
        listens = f"{aligner.name} {aligner.revision}"
        return cls(engine.name, engine.revision, listens, recordings or {}, emotions or {})


@dataclass(frozen=True, slots=True)
class DialoguePlan:
    """A dialogue and what is there of it. `old` has, for each turn, the row of the same utterance in the old file;
    `committed_rows` are all the rows that the dialogue's committed files have, be they of an earlier version of it."""

    index: int
    dialogue: Dialogue
    key: str
    fingerprint: str
    utterances: tuple[Utterance, ...]
    fingerprints: tuple[str, ...]
    old: tuple[TurnRow | None, ...]
    committed_rows: tuple[TurnRow, ...] = ()
    unchanged: bool = False

    @property
    def to_speak(self) -> list[int]:
        return [] if self.unchanged else [turn for turn, row in enumerate(self.old) if row is None]

    @property
    def voices_to_speak(self) -> set[str]:
        return {self.utterances[turn].voice for turn in self.to_speak}

    def without_old_file(self) -> "DialoguePlan":
        """The plan where the old file is of no use."""
        return dataclasses.replace(self, old=(None,) * len(self.old), committed_rows=(), unchanged=False)


@dataclass(frozen=True, slots=True)
class BatchPlan:
    partition: PartitionKey
    dialogues: tuple[DialoguePlan, ...]
    bad_lines: tuple[BadDialogueLine, ...]
    inputs: str
    parameters: dict[str, Any]
    aligner: str
    calibrations: Mapping[str, Calibration]  # by voice
    old: ShardManifest | None = None

    def to_speak(self) -> list[tuple[int, int, Utterance]]:
        """(dialogue index, turn index, utterance), dialogue by dialogue."""
        return [(plan.index, turn, plan.utterances[turn]) for plan in self.dialogues for turn in plan.to_speak]

    def to_calibrate(self) -> list[Calibration]:
        """Those of the voices that have something to say."""
        voices = dict.fromkeys(utterance.voice for _, _, utterance in self.to_speak())
        return [self.calibrations[voice] for voice in voices]

    def to_finish(self) -> list[DialoguePlan]:
        return [plan for plan in self.dialogues if not plan.unchanged]

    @property
    def is_current(self) -> bool:
        """Whether all that is to be made lies there, committed."""
        return self.old is not None and self.old.complete and self.old.inputs == self.inputs and not self.to_finish()


def _utterances(dialogue: Dialogue, settings: MoshiSettings) -> list[Utterance]:
    """Seeds hang on the text, not on the turn's number: a turn that is put in leaves those after it as they were."""
    told: Counter[tuple[str, str]] = Counter()
    result = []
    for turn in dialogue.turns:
        voice = turn.voice or (settings.assistant_voice if turn.role == "assistant" else settings.user_voice)
        nth = told[turn.role, turn.text]
        told[turn.role, turn.text] += 1
        seed = int(fingerprint("utterance", settings.seed, dialogue.id, turn.role, turn.text, nth)[:7], 16)
        result.append(Utterance(turn.text, voice, settings.language, turn.emotion, seed))
    return result


def _utterance_fingerprint(
    turn: Turn, utterance: Utterance, calibration: str, models: ModelVersions, settings: MoshiSettings
) -> str:
    """`calibration` says how the voice's level is measured, not what it is: so nothing is spoken to plan."""
    recording, emotion = models.recordings.get(utterance.voice, ""), models.emotions.get(utterance.emotion)
    levels = level_dbfs(turn.role, settings), settings.peak_limit_dbfs
    made = (models.engine, models.revision, recording, *([emotion] if emotion else []))
    return fingerprint(MIXING_VERSION, made, dataclasses.asdict(utterance), turn.role, levels, calibration)


def _calibrations(
    utterances: Iterable[Utterance], models: ModelVersions, settings: MoshiSettings
) -> dict[str, Calibration]:
    """By voice."""
    sentences = sentences_for(settings)
    return {
        voice: Calibration(
            models.engine, models.revision, voice, models.recordings.get(voice, ""), settings.language, sentences
        )
        for voice in dict.fromkeys(item.voice for item in utterances)
    }


def plan_batch(
    partition: PartitionKey,
    items: Sequence[Dialogue | BadDialogueLine],
    old: ShardManifest | None,
    models: ModelVersions,
    settings: MoshiSettings,
    intact: Collection[str] = (),
) -> BatchPlan:
    """What of a batch has to be made. `intact` are the keys of the WAV files that are as `old` lists them.

    Raises ValueError where two dialogues have one id.
    """
    known = {name: rows for name, rows in old.dialogues_with_files() if rows[0].key in intact} if old else {}
    timing = {name: getattr(settings, name) for name in (*_TIMING, "legacy_io", "seed")}
    plans: list[DialoguePlan] = []
    scripts = [(item, _utterances(item, settings)) for item in items if isinstance(item, Dialogue)]
    calibrations = _calibrations((item for _, utterances in scripts for item in utterances), models, settings)
    identities = {voice: item.identity for voice, item in calibrations.items()}
    for dialogue, utterances in scripts:
        prints = tuple(
            _utterance_fingerprint(turn, utterance, identities[utterance.voice], models, settings)
            for turn, utterance in zip(dialogue.turns, utterances, strict=True)
        )
        script = [(turn.role, turn.text, turn.pause_before_sec, turn.overlap_sec) for turn in dialogue.turns]
        versions = SHARD_VERSION, TIMING_VERSION
        own = fingerprint(versions, dialogue.id, script, prints, timing, models.aligner)
        before = tuple(known.get(dialogue.id, ()))
        by_print = {row.fingerprint: row for row in before}
        plans.append(
            DialoguePlan(
                index=len(plans),
                dialogue=dialogue,
                key=wav_key(partition, dialogue.id),
                fingerprint=own,
                utterances=tuple(utterances),
                fingerprints=prints,
                old=tuple(by_print.get(item) for item in prints),
                committed_rows=before,
                unchanged=bool(before) and before[0].dialogue_fingerprint == own,
            )
        )
    twice = [name for name, count in Counter(plan.dialogue.id for plan in plans).items() if count > 1]
    if twice:
        raise ValueError(f"{partition} has more than one dialogue {twice[0]!r}; ids name files")
    bad = tuple(item for item in items if isinstance(item, BadDialogueLine))
    parameters = {**timing, "engine": models.engine, "engine_revision": models.revision, "aligner": models.aligner}
    inputs = fingerprint([plan.fingerprint for plan in plans], [dataclasses.asdict(item) for item in bad])
    return BatchPlan(partition, tuple(plans), bad, inputs, parameters, models.aligner, calibrations, old)


@dataclass(frozen=True, slots=True)
class SpokenDialogue:
    """All utterances of a dialogue, by turn: spoken now, or cut back out of the old file. `levels` has the level, dBFS,
    of each voice that spoke now, or why it is not known."""

    plan: DialoguePlan
    spoken: Mapping[int, Speech | UtteranceFailure]
    reused: Mapping[int, Pcm16]
    levels: Mapping[str, float | UtteranceFailure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FinishedDialogue:
    """A dialogue's rows and files; without files where it was rejected."""

    index: int
    rows: tuple[TurnRow, ...]
    wav: bytes | None = field(default=None, repr=False)
    sidecar: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _AlignedTurn:
    pcm: Pcm16
    alignment: Alignment


def finish_dialogue(made: SpokenDialogue, aligner: Aligner, settings: MoshiSettings) -> FinishedDialogue:
    """A dialogue's files and rows.

    An utterance that failed, is silent, cannot be aligned or has a voice of no known level costs the dialogue: all of
    its rows are rejects then.
    Raises KeyError where a turn was not made.
    """
    plan = made.plan
    name = f"{aligner.name} {aligner.revision}"
    heard = [_align_turn(made, turn, aligner, settings) for turn in range(len(plan.utterances))]
    failures = {turn: item for turn, item in enumerate(heard) if isinstance(item, UtteranceFailure)}
    if failures:
        return FinishedDialogue(plan.index, tuple(_rejects(plan, failures)))
    good = [item for item in heard if isinstance(item, _AlignedTurn)]
    starts = plan_turns(plan.dialogue, [measure_extent(item.pcm) for item in good], settings)
    roles = [turn.role for turn in plan.dialogue.turns]
    mix = mix_stereo(PlacedSpeech(role, start, item.pcm) for role, start, item in zip(roles, starts, good, strict=True))
    wav = encode_wav(mix)
    sidecar = sidecar_bytes(
        (LABELS[role], start, item.alignment) for role, start, item in zip(roles, starts, good, strict=True)
    )
    shared: dict[str, Any] = {
        "kept": True,
        "aligner": name,
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
            _row(plan, turn), **shared, start_sample=start, **_measured(item, plan.utterances[turn], settings)
        )
        for turn, (start, item) in enumerate(zip(starts, good, strict=True))
    ]
    return FinishedDialogue(plan.index, tuple(rows), wav, sidecar)


def _align_turn(
    made: SpokenDialogue, turn: int, aligner: Aligner, settings: MoshiSettings
) -> _AlignedTurn | UtteranceFailure:
    plan, utterance = made.plan, made.plan.utterances[turn]
    said = made.reused[turn] if turn in made.reused else made.spoken[turn]
    if isinstance(said, UtteranceFailure):
        return said
    try:
        if isinstance(said, Speech):
            level = made.levels[utterance.voice]
            target_dbfs = level_dbfs(plan.dialogue.turns[turn].role, settings)
            gain_db = 0.0 if isinstance(level, UtteranceFailure) else target_dbfs - level
            pcm = apply_gain(said.audio, said.sample_rate_hz, gain_db, settings.peak_limit_dbfs)
            if isinstance(level, UtteranceFailure):
                return level
        else:
            pcm = said
            row = plan.old[turn]
            if row is not None and row.aligner == f"{aligner.name} {aligner.revision}":
                return _AlignedTurn(pcm, Alignment(row.spoken_words(), row.approximate))
        return _AlignedTurn(pcm, aligner.align(pcm, SAMPLE_RATE_HZ, utterance.text, utterance.language))
    except NoSpeechError as error:
        return UtteranceFailure(str(error), "no_speech")
    except AlignmentError as error:
        return UtteranceFailure(str(error), "alignment_failed")


def _measured(item: _AlignedTurn, utterance: Utterance, settings: MoshiSettings) -> dict[str, Any]:
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
    said = plan.utterances[turn]
    return TurnRow(
        plan.dialogue.id,
        turn,
        role=plan.dialogue.turns[turn].role,
        text=said.text,
        voice=said.voice,
        emotion=said.emotion,
        fingerprint=plan.fingerprints[turn],
    )


def _rejects(plan: DialoguePlan, failures: Mapping[int, UtteranceFailure]) -> list[TurnRow]:
    first = min(failures)
    rows = []
    for turn in range(len(plan.utterances)):
        own = failures.get(turn) or UtteranceFailure(f"turn {first + 1} could not be made", OTHER_TURN)
        rows.append(dataclasses.replace(_row(plan, turn), stage=SPEAKING, reason=own.reason, message=own.message))
    return rows


def bad_line_row(item: BadDialogueLine) -> TurnRow:
    return TurnRow(item.id, line=item.line, stage=READING, reason=item.reason, message=item.message)


def sidecar_bytes(parts: Any) -> bytes:
    """The trainer's sidecar, from (label, first sample, alignment) of each turn; both channels' words sorted by start.

    The trainer searches the list by halves, so it must be sorted as a whole. Microseconds: words are parted by 0.1 ms
    at least, and stay so wherever their turn begins.
    """
    alignments = [
        [word.text, [round(start / SAMPLE_RATE_HZ + edge, 6) for edge in (word.start_sec, word.end_sec)], label]
        for label, start, alignment in parts
        for word in alignment.words
    ]
    alignments.sort(key=lambda item: (item[1], item[2]))
    return (json.dumps({"alignments": alignments}, ensure_ascii=False) + "\n").encode()
