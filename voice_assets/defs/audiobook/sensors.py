"""The sensor that lists the folder of books and requests runs for books that are new or changed."""

import dagster as dg

from voice_assets.defs.audiobook.jobs import audiobook_job
from voice_assets.defs.audiobook.partitions import ASSETS, BOOK
from voice_assets.inbox import Inbox, InboxPartitions, InboxTick, inbox_definitions
from voice_core.audiobook.books import list_books
from voice_core.audiobook.reading import BOOK_SUFFIXES

SOURCE_VERSION = "source_version"
"""Metadata of `book_chunks`: the version of the file that the run read."""


def _source_version(event: dg.AssetMaterialization) -> str:
    found = event.metadata.get(SOURCE_VERSION)
    return str(found.value) if found is not None else ""


def _assign(tick: InboxTick) -> tuple[dict[str, str], str]:
    found = list_books(tick.folder)
    for problem in found.problems:
        tick.log.warning(problem)
    versions = {str(key): item.version for key, item in found.files.items()}
    return versions, f"{len(versions)} books, {len(found.problems)} files left out"


BOOK_INBOX = Inbox(
    sensor="new_books",
    description="Lists VOICE_AUDIOBOOK__BOOKS_URL and, once two ticks have seen the same files, requests runs of "
    "the books that are new or changed. A book that failed is requested again after 15 minutes or more.",
    variable="VOICE_AUDIOBOOK__BOOKS_URL",
    url=lambda settings: settings.audiobook.books_url,
    contents="books",
    noun="book",
    suffixes=BOOK_SUFFIXES,
    partitions=InboxPartitions(
        BOOK,
        ASSETS,
        audiobook_job.name,
        last_asset="audiobook",
        first_asset="book_chunks",
        version_of=_source_version,
    ),
    assign=_assign,
)


@dg.definitions
def definitions() -> dg.Definitions:
    return inbox_definitions(BOOK_INBOX, step="speak")
