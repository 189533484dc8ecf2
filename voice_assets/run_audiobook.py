"""Builds the books of a folder through Dagster in this process, without a daemon: what `voice demo` runs."""

from dataclasses import dataclass, field

import dagster as dg

from resources.stores import open_store
from voice_assets.defs.audiobook.jobs import audiobook_job
from voice_assets.defs.audiobook.partitions import NAME
from voice_assets.in_process import run_job
from voice_assets.instance import add_partitions
from voice_core.audiobook.books import BookFile, list_books
from voice_core.settings import Settings


@dataclass(slots=True)
class BooksRunReport:
    """The books, the number of utterances spoken now, and the failures."""

    books: tuple[BookFile, ...]
    utterances: int = 0
    failures: list[str] = field(default_factory=list)


def build_books_in_dagster(settings: Settings, instance: dg.DagsterInstance) -> BooksRunReport:
    """Materialise every book of `audiobook.books_url`, one after another.

    Uses one engine in this process: for short books, starting another one would take longer than the speech.
    """
    from voice_assets.definitions import build_definitions

    folder = open_store(settings.audiobook.books_url, settings, untrusted=True)
    report = BooksRunReport(tuple(list_books(folder).files.values()))
    add_partitions(instance, NAME, [str(book.key) for book in report.books])
    job = build_definitions(settings).resolve_job_def(audiobook_job.name)
    serial = {"chunk_audio": {"config": {"backend": "serial"}}}
    for book in report.books:
        result = run_job(job, instance, "demo", partitions=[str(book.key)], ops=serial)
        for event in result.get_asset_materialization_events():
            spoken = event.materialization.metadata.get("utterances_spoken")
            report.utterances += int(spoken.value) if spoken is not None and isinstance(spoken.value, int) else 0
        if not result.success:
            report.failures.append(f"{book.key}: run {result.run_id} failed; see its event log")
    return report
