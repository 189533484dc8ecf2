"""Exports each utterance of a batch to its own file, for listening and debugging."""

import io

import soundfile

from voice_core.layout import PartitionKey, slug, stage_prefix
from voice_core.moshi.mixing import read_wav
from voice_core.moshi.script import ROLES, SAMPLE_RATE_HZ
from voice_core.moshi.shard_manifest import STAGE as SHARDS
from voice_core.moshi.shard_manifest import ShardManifest
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.store import Store

STAGE = "moshi_mono"


def export_utterances(work: Store, manifest: ShardManifest) -> None:
    """Cut every kept utterance out of its channel: mono PCM at 24 kHz, under `moshi_mono/` beside the shards. Other
    files of the batch there are removed. Raises StoreError and ValueError where a dialogue's file cannot be read."""
    with hold_lock(work, f"{SHARDS} {manifest.partition}") as work:
        _export_utterances(work, manifest)


def _export_utterances(work: Store, manifest: ShardManifest) -> None:
    prefix = stage_prefix(STAGE, PartitionKey.parse(manifest.partition))
    stale = {item.key for item in work.listing(prefix)}
    for dialogue_id, rows in manifest.kept():
        mix = read_wav(work.get(rows[0].key))
        files: dict[str, bytes] = {}
        for row in rows:
            buffer = io.BytesIO()
            part = mix[row.start_sample : row.start_sample + row.sample_count, ROLES.index(row.channel_role)]
            soundfile.write(buffer, part, SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")
            files[f"{prefix}{slug(dialogue_id)}_turn_{row.turn}_{row.role}.wav"] = buffer.getvalue()
        work.put_many(files)
        stale -= files.keys()
    work.delete(stale)
