"""The lists that the trainer reads: `<name>.jsonl`, and its parts `<name>.train.jsonl` and `<name>.eval.jsonl`.

A line has exactly `path`, relative to the list, and `duration` in seconds: no header, no blank line.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from voice_core.fingerprint import hash_to_unit_interval, sha256
from voice_core.layout import slug
from voice_core.moshi.script import SAMPLE_RATE_HZ
from voice_core.moshi.shard_manifest import STAGE, ShardManifest
from voice_core.settings import MoshiSettings
from voice_core.storage.store import Store

_MOST_HELD_OUT = 0.5


@dataclass(frozen=True, slots=True)
class TrainerManifestRow:
    """A line of a list. `draw`, 0 to 1, comes from the dialogue's id and decides what is held out."""

    path: str
    sample_count: int
    draw: float

    def line(self) -> str:
        value = {"path": self.path, "duration": self.sample_count / SAMPLE_RATE_HZ}
        return json.dumps(value, ensure_ascii=False) + "\n"


@dataclass(frozen=True, slots=True)
class TrainerManifestReport:
    """What was written. `data_version` changes with the content of the lists."""

    rows: int = 0
    train_rows: int = 0
    eval_rows: int = 0
    duration_sec: float = 0.0
    eval_sec: float = 0.0
    data_version: str = ""
    incomplete: tuple[str, ...] = ()  # batches that are left out because they are not finished
    warning: str = ""


def trainer_manifest_prefix(name: str) -> str:
    return f"{STAGE}/{slug(name)}/"


def trainer_manifest_key(name: str, part: str = "") -> str:
    """
    >>> trainer_manifest_key("dialogues"), trainer_manifest_key("dialogues", "eval")
    ('moshi/dialogues/dialogues.jsonl', 'moshi/dialogues/dialogues.eval.jsonl')
    """
    return f"{trainer_manifest_prefix(name)}{slug(name)}{part and '.'}{part}.jsonl"


def trainer_manifest_rows(manifest: ShardManifest, settings: MoshiSettings) -> list[TrainerManifestRow]:
    root = trainer_manifest_prefix(settings.name)
    return [
        TrainerManifestRow(
            rows[0].key.removeprefix(root),
            rows[0].dialogue_samples,
            hash_to_unit_interval("eval", settings.seed, dialogue_id),
        )
        for dialogue_id, rows in manifest.kept()
    ]


def select_eval_paths(items: Sequence[TrainerManifestRow], settings: MoshiSettings) -> tuple[set[str], str]:
    """Paths held out for evaluation, and a warning where there are too few dialogues for that. Pure.

    The dialogues with the lowest draws: `eval_fraction` of them, and as many more as `eval_min_rows` and
    `eval_min_sec` ask for. Where that would be more than half of the audio nothing is held out.
    """
    if not settings.eval_fraction:
        return set(), ""
    total = sum(item.sample_count for item in items)
    out: set[str] = set()
    samples = 0
    for item in sorted(items, key=lambda item: (item.draw, item.path)):
        enough = len(out) >= settings.eval_min_rows and samples >= settings.eval_min_sec * SAMPLE_RATE_HZ
        if enough and item.draw >= settings.eval_fraction:
            break
        out.add(item.path)
        samples += item.sample_count
    enough = len(out) >= settings.eval_min_rows and samples >= settings.eval_min_sec * SAMPLE_RATE_HZ
    if enough and samples <= _MOST_HELD_OUT * total:
        return out, ""
    return set(), (
        f"{len(items)} dialogues, {total / SAMPLE_RATE_HZ:.0f} s, are too few to hold out {settings.eval_min_rows} of "
        f"them and {settings.eval_min_sec:g} s: all are for training (moshi.eval_min_rows, moshi.eval_min_sec)"
    )


def write_trainer_manifests(
    store: Store, manifests: Iterable[ShardManifest], settings: MoshiSettings
) -> TrainerManifestReport:
    """Write the lists over these batches; incomplete ones are left out. Where nothing is held out there is no eval
    list: an empty one would stop the trainer. `manifests` is read one by one: each takes 18 kB per dialogue."""
    by_batch: dict[str, list[TrainerManifestRow]] = {}
    incomplete: list[str] = []
    for manifest in manifests:
        if manifest.complete:
            by_batch[manifest.partition] = trainer_manifest_rows(manifest, settings)
        else:
            incomplete.append(manifest.partition)
    items = [item for batch in sorted(by_batch) for item in by_batch[batch]]
    out, warning = select_eval_paths(items, settings)
    parts = {
        "eval": [item for item in items if item.path in out],
        "train": [item for item in items if item.path not in out],
        "": items,
    }
    texts = {part: "".join(item.line() for item in some).encode() for part, some in parts.items()}
    for part, text in texts.items():
        if part == "eval" and not text:
            store.delete([trainer_manifest_key(settings.name, part)])
        else:
            store.put(trainer_manifest_key(settings.name, part), text)

    def seconds(part: str) -> float:
        return sum(item.sample_count for item in parts[part]) / SAMPLE_RATE_HZ

    return TrainerManifestReport(
        rows=len(items),
        train_rows=len(parts["train"]),
        eval_rows=len(parts["eval"]),
        duration_sec=seconds(""),
        eval_sec=seconds("eval"),
        data_version=sha256(texts["train"] + b"\n" + texts["eval"])[:32],
        incomplete=tuple(sorted(incomplete)),
        warning=warning,
    )
