"""The sensor that lists the folder of books and requests runs for books that are new or changed."""

import time

import dagster as dg

from resources.corpus import CorpusResource
from resources.stores import open_store
from voice_assets.code_location import current_location
from voice_assets.defs.audiobook.jobs import audiobook_job
from voice_assets.defs.audiobook.partitions import ASSETS, NAME
from voice_assets.inbox import InboxCursor, InboxPartitions, check_listing, request_changed
from voice_assets.instance import add_partitions
from voice_assets.run_ownership import release_orphaned_runs
from voice_core.audiobook.books import list_books
from voice_core.audiobook.reading import BOOK_SUFFIXES
from voice_core.settings import Settings

SOURCE_VERSION = "source_version"
"""Metadata of `book_chunks`: the version of the file that the run read."""


def _source_version(event: dg.AssetMaterialization) -> str:
    found = event.metadata.get(SOURCE_VERSION)
    return str(found.value) if found is not None else ""


_BOOKS = InboxPartitions(
    NAME,
    ASSETS,
    audiobook_job.name,
    last_asset="audiobook",
    first_asset="book_chunks",
    version_of=_source_version,
)


def new_books_sensor(settings: Settings, status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    @dg.sensor(
        name="new_books",
        job=audiobook_job,
        minimum_interval_seconds=settings.automation.sensor_interval_sec,
        default_status=status,
        description="Lists VOICE_AUDIOBOOK__BOOKS_URL and, once two ticks have seen the same files, requests runs of "
        "the books that are new or changed. A book that failed is requested again after 15 minutes or more.",
    )
    def new_books(context: dg.SensorEvaluationContext, corpus: CorpusResource) -> dg.SensorResult | dg.SkipReason:
        given = corpus.settings
        if not given.audiobook.books_url:
            return dg.SkipReason("VOICE_AUDIOBOOK__BOOKS_URL is not set: there is no folder of books")
        release_orphaned_runs(context.instance)  # a book of a killed run would count as in progress
        books = open_store(given.audiobook.books_url, given, untrusted=True)

        def register() -> tuple[dict[str, str], str]:
            found = list_books(books)
            for problem in found.problems:
                context.log.warning(problem)
            versions = {str(key): item.version for key, item in found.files.items()}
            add_partitions(context.instance, NAME, sorted(versions))
            return versions, f"{len(versions)} books, {len(found.problems)} files left out"

        cursor, message = check_listing(books, BOOK_SUFFIXES, InboxCursor.from_json(context.cursor), "book", register)
        return request_changed(context, cursor, message, _BOOKS, given.automation.max_runs_per_tick, time.time())

    return new_books


@dg.definitions
def definitions() -> dg.Definitions:
    location = current_location()
    wanted = "speak" in location.steps
    return dg.Definitions(sensors=[new_books_sensor(location.settings, location.sensor_status)] if wanted else [])
