"""The batch that most worlds have, and what must hold of its segments."""

from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_core.corpus.ingest import batches
from voice_core.corpus.manifest import Manifest
from voice_core.corpus.segment import segment_stage
from voice_core.layout import PartitionKey, manifest_key

NEWS = PartitionKey("news", 1)
MANIFEST = manifest_key("segments", NEWS)


def assert_segments_valid(manifest: Manifest, corpus: Corpus) -> None:
    """What must hold after every run; and nothing else lies there."""
    assert manifest.complete
    corpus.assert_manifest_valid(manifest)
    listed = {entry.key for entry in manifest.files()} | {MANIFEST}
    assert set(corpus.files("segments/news/batch-0001")) == listed


def segments_are_current(corpus: Corpus) -> bool:
    return segment_stage.is_current(corpus.work, batches.read_batch(corpus.work, NEWS), corpus.settings)


def recording_status(manifest: Manifest, audio_id: str) -> tuple[str, int]:
    outcome = next(item for item in manifest.recordings if item.audio_id == audio_id)
    return outcome.status, outcome.sample_count


def reject_reasons(corpus: Corpus, audio_id: str) -> list[str]:
    return [entry.reason for entry in corpus.rows(audio_id)]
