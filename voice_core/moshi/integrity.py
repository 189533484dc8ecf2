"""The audit of Moshi data sets: batches of dialogues, their shards, the lists, and the levels of voices.

Reads everything, repairs nothing.
"""

import shlex
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from voice_core.layout import PartitionKey, manifest_key, slug, stage_prefix
from voice_core.moshi.batches import DIALOGUES, list_scripts, parse_script, read_source, script_key, source_key
from voice_core.moshi.script import Dialogue
from voice_core.moshi.shard_manifest import STAGE, ShardManifest, parse_shard_manifest
from voice_core.moshi.trainer_manifest import trainer_manifest_key, trainer_manifest_prefix, trainer_manifest_rows
from voice_core.settings import MoshiSettings
from voice_core.stages.integrity import MISSING, AuditCollector, PartitionAudit
from voice_core.storage.store import Store
from voice_core.synthesis import voice_levels


def data_sets(work: Store) -> list[str]:
    """The slugs of all data sets."""
    names: set[str] = set()
    for prefix in (DIALOGUES, f"{STAGE}/"):
        names |= {item.key.removeprefix(prefix).partition("/")[0] for item in work.listing(prefix) if "/" in item.key}
    return sorted(names)


def audit_shards(work: Store, name: str, settings: MoshiSettings) -> PartitionAudit:
    """A data set: the dialogues and shards of every batch, and the trainer's lists."""
    settings = settings.model_copy(update={"name": name})
    found = AuditCollector(work)
    scripts = {partition.number for partition in list_scripts(work, name)}
    there = [item.key for item in work.listing(trainer_manifest_prefix(name))]
    spoken = {p.number for key in there if (p := PartitionKey.find("/".join(key.split("/")[1:3]))) is not None}
    manifests = []
    for number in range(1, max(scripts | spoken, default=0) + 1):
        partition = PartitionKey(slug(name), number)
        manifest = _audit_batch(found, partition)
        if manifest is not None and manifest.complete:
            manifests.append(manifest)
    _audit_trainer_manifests(found, manifests, settings)
    source = _audit_source(found, name)
    known = {source_key(name), *(script_key(PartitionKey(slug(name), number)) for number in scripts)}
    found.add_unlisted([item.key for item in work.listing(f"{DIALOGUES}{slug(name)}/")], known)
    found.add_unlisted(
        [key for key in there if key.count("/") < 3],
        {trainer_manifest_key(name, part) for part in ("", "train", "eval")},
    )
    return found.finish(remedy=_remedy(name, source))


def _audit_batch(found: AuditCollector, partition: PartitionKey) -> ShardManifest | None:
    script, key = script_key(partition), manifest_key(STAGE, partition)
    there = [item.key for item in found.work.listing(stage_prefix(STAGE, partition)) if item.key != key]
    items = found.parse(script, lambda data: parse_script(found.work, partition, data))
    manifest = found.parse(key, lambda data: parse_shard_manifest(found.work, partition, data))
    if items is None:
        found.wrong.setdefault(script, MISSING)
    dialogues = [item.id for item in items or () if isinstance(item, Dialogue)]
    if manifest is None:
        found.add_missing_record(key, there, "batch")
        if dialogues and not there and key not in found.wrong:
            found.unfinished.append(key)
        return None
    if not manifest.complete:
        found.unfinished.append(key)
        return manifest
    if {name for name, _ in manifest.by_dialogue()} != set(dialogues) and script not in found.wrong:
        found.unfinished.append(key)
    rows = [rows[0] for _, rows in manifest.dialogues_with_files()]
    files = {key: digest for row in rows for key, (_, digest) in row.files().items()}
    found.expected_hashes |= files
    found.add_unlisted(there, files)
    return manifest


def _audit_trainer_manifests(found: AuditCollector, manifests: list[ShardManifest], settings: MoshiSettings) -> None:
    """Lists have no checksum: the full list follows from the manifests, and train and eval partition it."""
    texts = {part: found.read(trainer_manifest_key(settings.name, part)) for part in ("", "train", "eval")}
    expected = [item.line() for manifest in manifests for item in trainer_manifest_rows(manifest, settings)]
    if all(text is None for text in texts.values()):
        if expected:
            found.unfinished.append(trainer_manifest_key(settings.name))
        return
    for part, text in texts.items():
        if text is None and part != "eval":
            found.wrong[trainer_manifest_key(settings.name, part)] = MISSING
    if texts["eval"] == b"":
        found.wrong[trainer_manifest_key(settings.name, "eval")] = "is empty"
    if texts[""] is not None and texts[""] != "".join(expected).encode():
        found.wrong[trainer_manifest_key(settings.name)] = "does not list what the manifests list"
    train, held = ([*(text or b"").splitlines(keepends=True)] for text in (texts["train"], texts["eval"]))
    lines = [line.encode() for line in expected]
    if texts["train"] is not None and sorted([*train, *held]) != sorted(lines):
        parts = [part for part, some in (("train", train), ("eval", held)) if not set(some) <= set(lines)]
        for part in parts or (["eval"] if texts["eval"] is None else ["train"]):
            found.wrong[trainer_manifest_key(settings.name, part)] = "does not list what the manifests list"


def _audit_source(found: AuditCollector, name: str) -> str:
    return found.parse(source_key(name), lambda _: read_source(found.work, name)) or ""


def _remedy(name: str, source: str) -> str:
    """`voice moshi build` over the input of the data set, if it is known."""
    command = f"voice moshi build --dataset-name {shlex.quote(name)} --verify"
    path = Path(url2pathname(urlsplit(source).path))
    if source.startswith("file:") and path.suffix in (".jsonl", ".ndjson"):
        return f"{command} --input-jsonl {shlex.quote(str(path))}"
    return f"VOICE_MOSHI__SCRIPTS_URL={shlex.quote(source)} {command}" if source else command


def audit_voices(work: Store) -> PartitionAudit:
    """The measured levels of voices."""
    found = AuditCollector(work)
    for item in work.listing(f"{voice_levels.STAGE}/"):
        if not item.key.endswith(".json"):
            found.unlisted.append(item.key)
            continue
        data = found.read(item.key)
        if data is not None and voice_levels.parse_level(data) is None:
            found.wrong[item.key] = "cannot be read"
    return found.finish(remedy="voice moshi build")
