"""What a batch of dialogues needs: which utterances to speak and which dialogues to assemble. Pure.

A dialogue whose fingerprint is that of its files is not touched. Of a dialogue that has changed, only new utterances
are spoken; the others are cut out of its old file, as they were mixed.
"""

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from voice_core.fingerprint import fingerprint
from voice_core.layout import PartitionKey
from voice_core.moshi.mixing import MIXING_VERSION, level_dbfs
from voice_core.moshi.script import BadDialogueLine, Dialogue, Turn
from voice_core.moshi.shard_manifest import ShardManifest, TurnRow, wav_key
from voice_core.moshi.synthesis_types import TurnIndex
from voice_core.moshi.turn_timing import TIMING_VERSION
from voice_core.moshi.word_alignments import aligner_version
from voice_core.recognition.word_times import Aligner
from voice_core.settings import MoshiSettings
from voice_core.synthesis.speech_cache import SpeechSource
from voice_core.synthesis.voice_levels import Calibration, sentences_for
from voice_core.tts.base import SpeechEngine, Utterance

SHARD_VERSION = 2
_TIMING = ("gap_median_sec", "gap_spread", "gap_min_sec", "gap_max_sec", "overlap_probability", "overlap_max_sec")


@dataclass(frozen=True, slots=True)
class ModelVersions:
    """The engine and the aligner. `recordings` and `emotions` are hashes of the recordings that are voices and of those
    that are emotions, by the names that scripts use."""

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
        return cls(engine.name, engine.revision, aligner_version(aligner), recordings or {}, emotions or {})

    @property
    def speech_source(self) -> SpeechSource:
        return SpeechSource(self.engine, self.revision, self.recordings, self.emotions)


@dataclass(frozen=True, slots=True)
class DialoguePlan:
    """A dialogue and what exists of it. `old` has, for each turn, the row of the same utterance in the old file;
    `committed_rows` are all rows of the dialogue's committed files, which may be of an earlier version of it."""

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
        """The plan where the old file cannot be used."""
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

    def to_speak(self) -> list[tuple[TurnIndex, Utterance]]:
        """The utterances that are not in old files, dialogue by dialogue."""
        return [
            (TurnIndex(plan.index, turn), plan.utterances[turn]) for plan in self.dialogues for turn in plan.to_speak
        ]

    def to_calibrate(self) -> list[Calibration]:
        """The calibrations of the voices that are needed."""
        voices = dict.fromkeys(utterance.voice for _, utterance in self.to_speak())
        return [self.calibrations[voice] for voice in voices]

    def to_assemble(self) -> list[DialoguePlan]:
        return [plan for plan in self.dialogues if not plan.unchanged]

    @property
    def is_current(self) -> bool:
        """Whether the committed manifest is up to date."""
        return self.old is not None and self.old.complete and self.old.inputs == self.inputs and not self.to_assemble()


def _utterances(dialogue: Dialogue, settings: MoshiSettings) -> list[Utterance]:
    """Seeds depend on the text, not on the turn's number: an inserted turn does not change those after it."""
    seen: Counter[tuple[str, str]] = Counter()
    result = []
    for turn in dialogue.turns:
        voice = turn.voice or (settings.assistant_voice if turn.role == "assistant" else settings.user_voice)
        nth = seen[turn.role, turn.text]
        seen[turn.role, turn.text] += 1
        seed = int(fingerprint("utterance", settings.seed, dialogue.id, turn.role, turn.text, nth)[:7], 16)
        result.append(Utterance(turn.text, voice, settings.language, turn.emotion, seed))
    return result


def _utterance_fingerprint(
    turn: Turn, utterance: Utterance, calibration: str, models: ModelVersions, settings: MoshiSettings
) -> str:
    """`calibration` identifies how the voice's level is measured, not the level: planning needs no speech."""
    recording, emotion = models.recordings.get(utterance.voice, ""), models.emotions.get(utterance.emotion)
    levels = level_dbfs(turn.role, settings), settings.peak_limit_dbfs
    made = (models.engine, models.revision, recording, *([emotion] if emotion else []))
    return fingerprint(MIXING_VERSION, made, dataclasses.asdict(utterance), turn.role, levels, calibration)


def _calibrations(
    utterances: Iterable[Utterance], models: ModelVersions, settings: MoshiSettings
) -> dict[str, Calibration]:
    """By voice."""
    sentences = sentences_for(settings.language, settings.level_text)
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
    """The plan of a batch. `intact` has the keys of the WAV files that are as `old` lists them.

    Raises ValueError where two dialogues have the same id.
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
        raise ValueError(f"{partition} has more than one dialogue {twice[0]!r}: ids must be unique, they name files")
    bad = tuple(item for item in items if isinstance(item, BadDialogueLine))
    parameters = {**timing, "engine": models.engine, "engine_revision": models.revision, "aligner": models.aligner}
    inputs = fingerprint([plan.fingerprint for plan in plans], [dataclasses.asdict(item) for item in bad])
    return BatchPlan(partition, tuple(plans), bad, inputs, parameters, models.aligner, calibrations, old)
