"""A finished work root with every kind of state file in it, and status, build and audit as the commands run them."""

import shutil
from pathlib import Path

from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.damage import DamageCase, WorkRootCommands
from voice_core.audit import audit_work_root
from voice_core.corpus.dataset import card_stage, pairs, rows_stage, splits
from voice_core.corpus.encode import encode_stage
from voice_core.corpus.forget.forget import mark_forgotten
from voice_core.corpus.ingest.batches import list_partitions
from voice_core.corpus.ingest.snapshot import snapshot_batch
from voice_core.corpus.retention import evict
from voice_core.corpus.segment import segment_stage
from voice_core.corpus.status import BuildStatus
from voice_core.stages.evicted import repair_eviction_records


def create_finished_corpus(folder: Path) -> Corpus:
    """Two batches: of the first the segments were freed, and one recording was forgotten; the second holds a recording
    that vanished. There are pairs, and rows held out for test."""
    corpus = Corpus(folder)
    corpus.set(batch={"max_recordings": 3}, split={"test_fraction": 0.2})
    for name in "abcdef":
        corpus.add_recording(name, 4.0)
    corpus.build()
    mark_forgotten(corpus.work, "b", when="2026-01-01", why="asked to")
    for path in (corpus.audio_path("e"), corpus.transcript_path("e")):
        path.unlink()
    build_stale(corpus)
    first = corpus.status().partitions[:1]
    for plan in evict.plan_eviction(corpus.work, first, ["segments"], corpus.settings):
        assert not plan.refusal
        evict.evict_files(corpus.work, plan, corpus.settings)
    assert corpus.status().finished
    return corpus


def build_stale(corpus: Corpus) -> BuildStatus:
    """What `voice build` does: only what is not current, stage by stage."""
    work, settings = corpus.work, corpus.settings
    repair_eviction_records(work)
    for item in corpus.status().partitions:
        if not item.raw_audio.up_to_date:
            snapshot_batch(corpus.raw, work, item.partition, settings)
        if not (item.raw_audio.up_to_date and item.segments.up_to_date):
            segment_stage.build_segments(corpus.raw, work, item.partition, settings)
    for item in corpus.status().partitions:
        if not item.coded.up_to_date:
            encode_stage.build_codes(
                work, item.partition, corpus.codec, settings, rebuild_sources=corpus.rebuild_sources
            )
    if not corpus.status().splits.up_to_date:
        splits.build_splits(work, corpus.sources(), settings)
    plan = splits.require_splits(work, settings)
    for item in corpus.status().partitions:
        if not item.dataset.up_to_date:
            rows_stage.build_dataset(work, item.partition, plan, settings, rebuild_sources=corpus.rebuild_sources)
        if not (item.dataset.up_to_date and item.pairs.up_to_date):
            rows = rows_stage.require_dataset_manifest(work, item.partition, settings)
            pairs.build_pairs(work, rows, settings, rebuild_sources=corpus.rebuild_sources)
    if not corpus.status().card.up_to_date:
        card_stage.build_card(work, list_partitions(work), settings)
    status = corpus.status()
    assert status.finished, status
    return status


def corpus_commands(corpus: Corpus) -> WorkRootCommands:
    return WorkRootCommands(
        status=corpus.status,
        build=lambda: build_stale(corpus),
        audit=lambda: audit_work_root(corpus.work, corpus.settings).wrong,
    )


def allowed_outcome(case: DamageCase) -> tuple[bool, tuple[str, ...]]:
    """Whether the commands may end in an error that names the file, and which files may differ afterwards.

    - What was forgotten is not guessed.
    - The manifest that alone lists the segments of a recording that vanished cannot be made again.
    - What the raw bucket said of a recording that vanished is not known any more.
    - What is encoded again needs its segments back; so does what no record says was freed.
    """
    key, gone = case.key, case.damage == "deleted"
    if key.startswith("tombstones/"):
        return True, ("",) if gone else ()
    if key == "segments/news/batch-0002/_manifest.parquet":
        return True, ()
    if key.startswith("batches/news/batch-0002"):
        return False, ("batches/news/batch-0002",)
    if key.startswith("segments/news/batch-0002/e_"):
        return False, ("segments/news/batch-0002/e_", "freed/segments/news/batch-0002")
    freed = ("freed/segments/news/batch-0001", "segments/news/batch-0001/")
    again = key.startswith(("coded/news/batch-0001/", "segments/news/batch-0001/"))
    return False, freed if again or (gone and key.startswith("freed/")) else ()


class WorkRootSnapshot:
    """A work root to go back to."""

    def __init__(self, corpus: Corpus) -> None:
        self._work = corpus.work_dir
        self._copy = self._work.with_name("work before")
        shutil.copytree(self._work, self._copy)

    def restore(self) -> None:
        shutil.rmtree(self._work)
        shutil.copytree(self._copy, self._work)
