"""The batch that most worlds have, and what must hold of its segments."""

from voice_assets_tests.core.corpus.small_corpus import World
from voice_core.corpus.ingest import batches
from voice_core.corpus.segment import segment_stage
from voice_core.layout import PartitionKey, manifest_key
from voice_core.stages.manifest import Manifest

NEWS = PartitionKey("news", 1)
MANIFEST = manifest_key("segments", NEWS)


def sound(manifest: Manifest, world: World) -> None:
    """What must hold after every run; and nothing else lies there."""
    assert manifest.complete
    world.sound(manifest)
    listed = {entry.key for entry in manifest.files()} | {MANIFEST}
    assert set(world.files("segments/news/batch-0001")) == listed


def current(world: World) -> bool:
    return segment_stage.is_current(world.work, batches.read_batch(world.work, NEWS), world.settings)


def status_of(manifest: Manifest, audio_id: str) -> tuple[str, int]:
    outcome = next(item for item in manifest.recordings if item.audio_id == audio_id)
    return outcome.status, outcome.sample_count


def reasons(world: World, audio_id: str) -> list[str]:
    return [entry.reason for entry in world.rows(audio_id)]
