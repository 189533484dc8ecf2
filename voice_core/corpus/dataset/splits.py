"""Train and test splits: which recordings are held out, and which texts occur in both splits.

Recordings that share a person (within `speaker_scope`) form a group; the hash of a group decides its split. Recordings
that are held out once stay held out as the corpus grows. A test row whose text is also spoken in train is rejected.

If splits.json is missing or damaged, held-out recordings are recovered from the dataset's rows.
"""

import dataclasses
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from voice_core.corpus.dataset.dataset_record import read_dataset_record, splits_record
from voice_core.corpus.dataset.speakers import SpeakerScope, speaker_identity
from voice_core.corpus.dataset.text_normalization import hash_text
from voice_core.corpus.manifest import Manifest, load_manifest
from voice_core.corpus.names import TEST, TRAIN
from voice_core.fingerprint import fingerprint, hash_to_unit_interval, sha256
from voice_core.layout import DatasetLayout, PartitionKey
from voice_core.settings import Settings, SplitSettings
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.state_files import find_valid_state, parse_state
from voice_core.storage.store import Store

SPLITS_VERSION = 2
_log = logging.getLogger(__name__)
_MAX_NAMED = 10  # batches in a message

RecordingId = tuple[str, str]  # (channel slug, audio_id)


@dataclass(frozen=True, slots=True)
class Splits:
    """`test` are the held-out recordings; `shared_texts` are hashes of texts in both splits."""

    test: frozenset[RecordingId]
    shared_texts: frozenset[str]
    parameters: dict[str, Any] = field(default_factory=dict)
    inputs: str = ""

    def split_of(self, channel: str, audio_id: str) -> str:
        return TEST if (channel, audio_id) in self.test else TRAIN

    def leaks(self, split: str, text: str) -> bool:
        """Whether a row of this split and text must be rejected, because train contains its text, too."""
        return split == TEST and bool(self.shared_texts) and hash_text(text) in self.shared_texts

    @property
    def data_version(self) -> str:
        return fingerprint(sorted(self.test), sorted(self.shared_texts))

    def to_bytes(self) -> bytes:
        value: dict[str, Any] = {
            "version": SPLITS_VERSION,
            "inputs": self.inputs,
            "parameters": self.parameters,
            "test": [list(name) for name in sorted(self.test)],
            "texts_in_both": sorted(self.shared_texts),
        }
        return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class SplitRow:
    """The values of a kept row that splits depend on."""

    channel: str
    audio_id: str
    speaker_id: str
    text: str


def split_rows(manifests: Iterable[Manifest]) -> list[SplitRow]:
    rows: list[SplitRow] = []
    for manifest in manifests:
        channel = PartitionKey.parse(manifest.partition).channel
        rows.extend(SplitRow(channel, entry.audio_id, entry.speaker_id, entry.text) for entry in manifest.kept())
    return rows


def plan_splits(rows: Sequence[SplitRow], settings: SplitSettings, before: Splits | None = None) -> Splits:
    """Hold out groups of recordings whose hash falls below `test_fraction`; at least one group if there are two.

    Groups with a recording that `before` held out are held out again, if `before` was planned with the same settings.
    """
    groups = _groups(rows, settings.speaker_scope)
    hash_fractions = {min(group): hash_to_unit_interval("split", settings.seed, min(group)) for group in groups}
    parameters = settings.model_dump()
    previously_held_out = before.test if before is not None and before.parameters == parameters else frozenset()
    chosen = {
        min(group)
        for group in groups
        if hash_fractions[min(group)] < settings.test_fraction or group & previously_held_out
    }
    if not chosen and settings.test_fraction > 0 and len(groups) > 1:
        chosen = {min(hash_fractions, key=lambda first: (hash_fractions[first], first))}
    test = frozenset(name for group in groups if min(group) in chosen for name in group)
    sides: dict[str, set[bool]] = defaultdict(set)
    for row in rows:
        sides[hash_text(row.text)].add((row.channel, row.audio_id) in test)
    return Splits(test, frozenset(text for text, seen in sides.items() if len(seen) == 2), parameters)


def _groups(rows: Sequence[SplitRow], scope: SpeakerScope) -> list[set[RecordingId]]:
    """Groups of recordings that are connected through shared people."""
    parent: dict[Any, Any] = {}

    def root(node: Any) -> Any:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for row in rows:
        recording = root((row.channel, row.audio_id))
        if row.speaker_id and scope != "recording":
            person = speaker_identity(scope, row.channel, row.audio_id, row.speaker_id)
            parent[recording] = root(("person", person))
    groups: dict[Any, set[RecordingId]] = defaultdict(set)
    for name in sorted({(row.channel, row.audio_id) for row in rows}):
        groups[root(name)].add(name)
    return list(groups.values())


def splits_inputs(manifests: Sequence[Manifest], settings: Settings) -> str:
    versions = sorted((manifest.partition, manifest.data_version) for manifest in manifests)
    return fingerprint(SPLITS_VERSION, settings.split.model_dump(), versions)


def parse_splits(work: Store, key: str, data: bytes) -> Splits:
    """The content of splits.json. Older versions have no inputs: they are planned again."""
    return parse_state(work, key, data, Splits, version=SPLITS_VERSION, prepare=_migrate_fields)


def _migrate_fields(value: dict[str, Any]) -> dict[str, Any]:
    older = value["version"] < SPLITS_VERSION
    return {
        "test": [(channel, audio_id) for channel, audio_id in value["test"]],
        "shared_texts": value["texts_in_both"],
        "parameters": {} if older else value["parameters"],
        "inputs": "" if older else value["inputs"],
    }


def read_splits(work: Store, settings: Settings) -> Splits | None:
    """The splits; None if they are missing, damaged or not those that were committed."""
    key = DatasetLayout(settings.dataset).splits_key
    found = find_valid_state(work, key, lambda work, key, data: (parse_splits(work, key, data), sha256(data)))
    if found is None:
        return None
    splits, digest = found
    committed = splits_record(read_dataset_record(work, settings))
    if committed.get("inputs") == splits.inputs and committed["sha256"] != digest:
        _log.warning("%s/%s is not what was committed; it will be written again", work.url, key)
        return None
    return splits


def recover_splits(work: Store, partitions: Iterable[str], settings: Settings) -> Splits | None:
    """Recover held-out recordings from the committed rows, with the settings of the last of them; None without rows."""
    layout = DatasetLayout(settings.dataset)
    test: set[RecordingId] = set()
    parameters: dict[str, Any] | None = None
    for name in partitions:
        partition = PartitionKey.parse(name)
        rows = load_manifest(work, layout.manifest_key(partition))
        if rows is not None and rows.complete:
            test |= {(partition.channel, entry.audio_id) for entry in rows.entries if entry.split == TEST}
            parameters = rows.parameters.get("split")
    return Splits(frozenset(test), frozenset(), parameters) if parameters is not None else None


def require_splits(work: Store, settings: Settings) -> Splits:
    """The splits. Raises `LookupError` if there are none; the message says what to run."""
    splits = read_splits(work, settings)
    if splits is None:
        raise LookupError(f"dataset {settings.dataset!r} has no splits yet: materialise dataset_splits first")
    return splits


class UncutBatchesError(RuntimeError):
    """Splits cannot be assigned while batches are not cut."""

    def __init__(self, partitions: Sequence[object]) -> None:
        named = ", ".join(map(str, partitions[:_MAX_NAMED])) + (" and others" if len(partitions) > _MAX_NAMED else "")
        count = "1 batch is" if len(partitions) == 1 else f"{len(partitions)} batches are"
        super().__init__(
            f"the splits are not assigned, and rows and card stay as they are: {count} not cut ({named}). A recording "
            "that is held out once stays held out, so recordings are assigned over all batches at once. Repair what "
            "failed and run `voice build` again, or `voice forget` its recordings. `voice build --incomplete`, or "
            "`incomplete: true` in the configuration of dataset_splits, assigns the splits without these batches"
        )


def require_all_cut(manifests: Mapping[PartitionKey, Manifest | None]) -> None:
    """Raise `UncutBatchesError` if a batch has no complete manifest of segments."""
    uncut = [key for key, manifest in manifests.items() if manifest is None or not manifest.complete]
    if uncut:
        raise UncutBatchesError(uncut)


def build_splits(work: Store, manifests: Sequence[Manifest], settings: Settings) -> Splits:
    """Plan and write the splits of all finished partitions, unless they are current."""
    layout = DatasetLayout(settings.dataset)
    inputs = splits_inputs(manifests, settings)
    with hold_lock(work, layout.root) as work:
        before = read_splits(work, settings)
        if before is not None and before.inputs == inputs:
            return before
        if before is None:
            before = recover_splits(work, [manifest.partition for manifest in manifests], settings)
        splits = dataclasses.replace(plan_splits(split_rows(manifests), settings.split, before), inputs=inputs)
        work.put(layout.splits_key, splits.to_bytes())
    return splits
