"""Runs the pipelines that speak through Dagster in this process, without a daemon: what `voice demo` does.

One engine in this process speaks: for short inputs, starting another one would take longer than the speech.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import dagster as dg

from resources.corpus import open_work
from resources.stores import open_store
from voice_assets.defs.audiobook.jobs import audiobook_job
from voice_assets.defs.audiobook.partitions import BOOK
from voice_assets.defs.moshi.jobs import finish_job, speak_job
from voice_assets.defs.moshi.partitions import DIALOGUE_BATCH
from voice_assets.in_process import run_job
from voice_assets.instance import add_partitions
from voice_core.audiobook.books import list_books
from voice_core.layout import BookKey, PartitionKey
from voice_core.moshi.build import assign_scripts
from voice_core.settings import Settings

Key = TypeVar("Key", PartitionKey, BookKey)


@dataclass(slots=True)
class SpeechRunReport(Generic[Key]):
    """The partitions that were built, the number of utterances spoken now, and the failures."""

    partitions: tuple[Key, ...]
    utterances: int = 0
    failures: list[str] = field(default_factory=list)


def speak_dialogues(settings: Settings, instance: dg.DagsterInstance) -> SpeechRunReport[PartitionKey]:
    """Assign the scripts of `moshi.scripts_url` to batches, materialise these one after another, then the manifests."""
    scripts = open_store(settings.moshi.scripts_url, settings, untrusted=True)
    report = SpeechRunReport(assign_scripts(scripts, open_work(settings), settings).partitions)
    runner = _Runner(settings, instance, report)
    runner.run_partitions(speak_job.name, DIALOGUE_BATCH, speech_asset="moshi_shards")
    runner.run(finish_job.name)
    return report


def build_audiobooks(settings: Settings, instance: dg.DagsterInstance) -> SpeechRunReport[BookKey]:
    """Materialise every book of `audiobook.books_url`, one after another."""
    folder = open_store(settings.audiobook.books_url, settings, untrusted=True)
    report = SpeechRunReport(tuple(book.key for book in list_books(folder).files.values()))
    runner = _Runner(settings, instance, report)
    runner.run_partitions(audiobook_job.name, BOOK, speech_asset="chunk_audio")
    return report


class _Runner:
    """Runs jobs in this process, and adds what they spoke and their failures to a report."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance, report: SpeechRunReport[Any]) -> None:
        from voice_assets.definitions import build_definitions

        self._instance, self._report = instance, report
        self._jobs = build_definitions(settings).resolve_job_def

    def run_partitions(self, job: str, partitions_name: str, speech_asset: str) -> None:
        """Run a job over each partition of the report, with one engine for the asset that speaks."""
        keys = [str(key) for key in self._report.partitions]
        add_partitions(self._instance, partitions_name, keys)
        for key in keys:
            self.run(job, key, {speech_asset: {"config": {"backend": "serial"}}})

    def run(self, job: str, partition: str = "", ops: Mapping[str, object] | None = None) -> None:
        keys = [partition] if partition else []
        result = run_job(self._jobs(job), self._instance, "demo", partitions=keys, ops=ops)
        for event in result.get_asset_materialization_events():
            spoken = event.materialization.metadata.get("utterances_spoken")
            self._report.utterances += int(spoken.value) if spoken is not None and isinstance(spoken.value, int) else 0
        if not result.success:
            self._report.failures.append(f"{partition or job}: run {result.run_id} failed; see its event log")
