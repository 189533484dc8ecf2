"""The audit of audiobooks: text, speech and mastered files of each book. Reads everything, repairs nothing."""

from collections.abc import Callable

from voice_core.audiobook.audio_manifest import STAGE as AUDIO
from voice_core.audiobook.audio_manifest import parse_audio_manifest
from voice_core.audiobook.audiobook_manifest import STAGE as MASTERED
from voice_core.audiobook.audiobook_manifest import parse_audiobook_manifest
from voice_core.audiobook.chunk_manifest import STAGE as TEXT
from voice_core.audiobook.chunk_manifest import parse_book_manifest
from voice_core.audiobook.commands import build_command
from voice_core.layout import BookKey, manifest_key, stage_prefix
from voice_core.stages.files import FilesByKey
from voice_core.stages.integrity import AuditCollector, PartitionAudit
from voice_core.storage.store import Store

STAGES = (TEXT, AUDIO, MASTERED)


def list_built_books(work: Store) -> list[BookKey]:
    """The books that the work root has files of."""
    names: set[str] = set()
    for stage in STAGES:
        names |= {item.key.split("/")[1] for item in work.listing(f"{stage}/") if item.key.count("/") >= 2}
    return [BookKey(name) for name in sorted(names)]


def audit_book(work: Store, book: BookKey) -> PartitionAudit:
    """All committed files of a book."""
    found = AuditCollector(work)
    _audit_stage(found, book, TEXT, _text_files)
    _audit_stage(found, book, AUDIO, _speech_files)
    _audit_stage(found, book, MASTERED, _mastered_files)
    return found.finish(remedy=build_command(book, verify=True))


def _text_files(work: Store, book: BookKey, data: bytes) -> tuple[bool, FilesByKey]:
    manifest = parse_book_manifest(work, book, data)
    return manifest.complete, {manifest.cover: (None, manifest.cover_sha256)} if manifest.cover else {}


def _speech_files(work: Store, book: BookKey, data: bytes) -> tuple[bool, FilesByKey]:
    manifest = parse_audio_manifest(work, book, data)
    there = (row for row in manifest.rows if not row.freed)
    return manifest.complete, {key: item for row in there for key, item in row.files().items()}


def _mastered_files(work: Store, book: BookKey, data: bytes) -> tuple[bool, FilesByKey]:
    manifest = parse_audiobook_manifest(work, book, data)
    return manifest.complete, {row.key: (row.size_bytes, row.sha256) for row in manifest.rows}


def _audit_stage(
    found: AuditCollector,
    book: BookKey,
    stage: str,
    read_files: Callable[[Store, BookKey, bytes], tuple[bool, FilesByKey]],
) -> None:
    key = manifest_key(stage, book)
    there = [item.key for item in found.work.listing(stage_prefix(stage, book)) if item.key != key]
    read = found.parse(key, lambda data: read_files(found.work, book, data))
    if read is None:
        found.add_missing_record(key, there, "book")
        return
    complete, files = read
    if not complete:
        found.unfinished.append(key)
        return
    found.expected_hashes |= {name: digest for name, (_, digest) in files.items()}
    found.add_unlisted(there, files)
