"""The stage that builds and commits the shards of a batch: what is missing is spoken, aligned, mixed and written."""

import contextlib
import dataclasses
from collections.abc import Generator, Iterable, Sequence
from functools import partial

from voice_core.audio.pcm import Pcm16
from voice_core.compute.workers import map_stream
from voice_core.fingerprint import sha256
from voice_core.layout import PartitionKey, manifest_key, stage_prefix
from voice_core.moshi.batch_plan import BatchPlan, DialoguePlan, ModelVersions, plan_batch
from voice_core.moshi.dialogue_assembly import AssembledDialogue, SpokenDialogue, assemble_dialogue, bad_line_row
from voice_core.moshi.mixing import read_wav
from voice_core.moshi.script import ROLES, BadDialogueLine, Dialogue
from voice_core.moshi.shard_manifest import (
    STAGE,
    ShardManifest,
    TurnRow,
    read_shard_manifest,
    sidecar_key,
)
from voice_core.moshi.synthesis_types import SpeakFunction, TurnIndex
from voice_core.recognition.word_times import Aligner
from voice_core.settings import MoshiSettings
from voice_core.stages.commit import CheckpointWriter, commit_manifest
from voice_core.stages.files import check_files, list_sizes
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.store import Store
from voice_core.synthesis.types import SynthesisFailure
from voice_core.synthesis.voice_levels import VoiceLevels
from voice_core.tts.base import Speech


def find_intact_files(store: Store, old: ShardManifest | None, *, verify: bool = False) -> set[str]:
    """Keys of the WAV files that are there with their sidecars, in the committed size; with `verify`, in content."""
    if old is None:
        return set()
    rows = [rows[0] for _, rows in old.dialogues_with_files()]
    files = {key: listed for row in rows for key, listed in row.files().items()}
    sizes = list_sizes(store, stage_prefix(STAGE, PartitionKey.parse(old.partition)))
    # A run that was killed may have written one of a dialogue's two files: sizes alone do not show that.
    states = check_files(store, files, sizes, verify=verify or not old.complete)
    return {row.key for row in rows if all(states[key].counts_as_present for key in row.files())}


def drop_damaged_files(store: Store, plan: BatchPlan) -> BatchPlan:
    """The plan without those old files that are needed and are not what was committed."""

    def checked(item: DialoguePlan) -> DialoguePlan:
        if item.unchanged or not item.committed_rows or store.hash(item.key) == item.committed_rows[0].sha256:
            return item
        return item.without_old_file()

    return dataclasses.replace(plan, dialogues=tuple(map(checked, plan.dialogues)))


def read_reusable_speech(store: Store, plan: DialoguePlan) -> dict[int, Pcm16]:
    """The utterances that the old file has, by turn. Raises ValueError where the file is not what was committed."""
    wanted = {turn: row for turn, row in enumerate(plan.old) if row is not None}
    if not wanted:
        return {}
    data = store.get(plan.key)
    if sha256(data) != plan.committed_rows[0].sha256:
        raise ValueError(f"{store.url}/{plan.key} is not the file that was committed: run the same command again")
    mix = read_wav(data)
    return {
        turn: mix[row.start_sample : row.start_sample + row.sample_count, ROLES.index(row.channel_role)].copy()
        for turn, row in wanted.items()
    }


def commit_batch(store: Store, plan: BatchPlan, assembled: Iterable[AssembledDialogue]) -> ShardManifest:
    """Write dialogues as they are assembled, in any order, and make them the batch's result.

    `assembled` has each of `plan.to_assemble()`; it is consumed only after the old manifest is marked incomplete. Files
    that no row lists any more are removed; those of a dialogue whose new version failed are shelved.

    Raises ValueError where a dialogue is missing in `assembled`: the manifest stays incomplete then.
    """
    rows: dict[int, Sequence[TurnRow]] = {item.index: item.committed_rows for item in plan.dialogues}
    shelf: dict[int, Sequence[TurnRow]] = {}
    missing = {item.index for item in plan.to_assemble()}

    def draft(*, complete: bool = False) -> ShardManifest:
        listed = [row for item in plan.dialogues for row in rows[item.index]]
        listed += [bad_line_row(item) for item in plan.bad_lines]
        sizes = len(plan.dialogues), len(plan.bad_lines)
        shelved = tuple(row for index in sorted(shelf) for row in shelf[index])
        return ShardManifest(
            str(plan.partition), complete, plan.inputs, plan.parameters, *sizes, tuple(listed), shelved
        )

    key = manifest_key(STAGE, plan.partition)
    checkpoint = CheckpointWriter(store, key, draft)
    checkpoint.write()
    with checkpoint:
        for item in assembled:
            wav_key = plan.dialogues[item.index].key
            if item.wav is not None and item.sidecar is not None:
                store.put_many({sidecar_key(wav_key): item.sidecar, wav_key: item.wav})
            else:
                shelf[item.index] = plan.dialogues[item.index].committed_rows
            rows[item.index] = item.rows
            missing.discard(item.index)
            checkpoint.write_if_due()
    if missing:
        left = plan.dialogues[min(missing)].dialogue.id
        raise ValueError(f"{len(missing)} dialogues of {plan.partition} were not finished, {left!r} among them")
    manifest = draft(complete=True)
    listed = {key for _, (row, *_) in manifest.dialogues_with_files() for key in row.files()}
    commit_manifest(store, key, manifest, stage_prefix(STAGE, plan.partition), listed)
    return manifest


def build_batch(
    store: Store,
    partition: PartitionKey,
    items: Sequence[Dialogue | BadDialogueLine],
    models: ModelVersions,
    aligner: Aligner,
    settings: MoshiSettings,
    speak: SpeakFunction,
    *,
    workers: int = 1,
    verify: bool = False,
) -> ShardManifest:
    """Bring a batch up to date. One process at a time works on a batch.

    Dialogues are aligned, mixed and encoded in `workers` processes: 0 means one per core, 1 this process.
    """
    with hold_lock(store, f"{STAGE} {partition}") as store:
        old = read_shard_manifest(store, partition)
        intact = find_intact_files(store, old, verify=verify)
        plan = drop_damaged_files(store, plan_batch(partition, items, old, models, settings, intact))
        if old is not None and plan.is_current:
            return old
        assemble = partial(assemble_dialogue, aligner=aligner, settings=settings)
        with (
            contextlib.closing(collect_spoken_dialogues(store, plan, speak)) as made,
            contextlib.closing(
                map_stream(assemble, made, workers, name=lambda item: f"dialogue {item.plan.dialogue.id}")
            ) as assembled,
        ):
            return commit_batch(store, plan, assembled)


def collect_spoken_dialogues(
    store: Store, plan: BatchPlan, speak: SpeakFunction
) -> Generator[SpokenDialogue, None, None]:
    """Dialogues, each as soon as all of its utterances are spoken and its voices' levels are known."""
    for item in plan.to_assemble():
        if not item.to_speak:
            yield SpokenDialogue(item, {}, read_reusable_speech(store, item))
    turns = plan.to_speak()
    if not turns:
        return
    voices = VoiceLevels(store, plan.to_calibrate())
    waiting: dict[int, dict[int, Speech | SynthesisFailure]] = {}
    for where, result in speak([*voices.missing_utterances, *turns]):
        if isinstance(where, TurnIndex):
            waiting.setdefault(where.dialogue, {})[where.turn] = result
            candidates = [where.dialogue]
        else:
            candidates = [*waiting] if voices.add_result(where, result) else []
        for index in candidates:
            item = plan.dialogues[index]
            levels = voices.levels_of(item.voices_to_speak) if len(waiting[index]) == len(item.to_speak) else None
            if levels is not None:
                yield SpokenDialogue(item, waiting.pop(index), read_reusable_speech(store, item), levels)
