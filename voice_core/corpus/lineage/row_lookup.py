"""Find the transcript line that a name refers to."""

import dataclasses
import difflib
import re
from collections.abc import Iterable, Iterator

from voice_core.corpus.dataset.rows_stage import row_key
from voice_core.corpus.ingest.batch_model import Batch, Recording
from voice_core.corpus.ingest.batches import read_batches
from voice_core.corpus.ingest.tombstones import read_tombstones
from voice_core.corpus.manifest import Entry, Manifest, read_manifest
from voice_core.corpus.names import CODED, SEGMENTS
from voice_core.layout import slug
from voice_core.storage.store import Store

_SHA256 = re.compile(r"[0-9a-f]{8,64}")
_NUMBER = re.compile("[0-9]{1,9}")
_LINE = re.compile(r"(_seg_|\s)\d*$")

RowMatch = tuple[Recording, Manifest, Entry]


def find_rows(work: Store, name: str) -> list[RowMatch]:
    """The lines that a name refers to: the recording, the manifest of its segments and the line's row there.

    A name is a row's `__key__`, or "AUDIO_ID INDEX", or the SHA-256 of its segment or coded file (8 digits or more).
    Raises `LookupError` if none matches, with similar names, or if several match, with their names.
    """
    batches = read_batches(work)
    found = [*_by_name(work, batches, name)] or [*_by_hash(work, batches, name)]
    if not found:
        raise LookupError(_not_found(work, batches, name))
    names = sorted({row_key(manifest.partition, entry) for _, manifest, entry in found})
    if len(names) > 1:
        raise LookupError(f"{name} matches {', '.join(names[:10])}: use one of these names")
    return found


def _by_name(work: Store, batches: Iterable[Batch], name: str) -> Iterator[RowMatch]:
    head, space, last = name.rpartition(" ")
    audio_id, index = (head, int(last)) if space and _NUMBER.fullmatch(last) else ("", -1)
    for batch in batches:
        channel = batch.partition.channel
        candidates = []
        for recording in batch.recordings:
            stem = f"{channel}/{slug(recording.audio_id)}_seg_"
            if name.startswith(stem) and _NUMBER.fullmatch(name[len(stem) :]):
                candidates.append((recording, int(name[len(stem) :])))
            elif audio_id in (recording.audio_id, f"{batch.channel}/{recording.audio_id}") and index >= 0:
                candidates.append((recording, index))
        manifest = read_manifest(work, SEGMENTS, batch.partition) if candidates else None
        if manifest is None:
            continue
        for recording, number in candidates:
            for entry in manifest.entries:
                whole = entry.kind == "recording"  # a recording that is rejected with all its lines
                if entry.audio_id == recording.audio_id and (whole or (entry.kind, entry.index) == ("line", number)):
                    yield recording, manifest, dataclasses.replace(entry, index=number)


def _by_hash(work: Store, batches: Iterable[Batch], prefix: str) -> Iterator[RowMatch]:
    if _SHA256.fullmatch(prefix) is None:
        return
    for batch in batches:
        recordings = {recording.audio_id: recording for recording in batch.recordings}
        segments = read_manifest(work, SEGMENTS, batch.partition)
        coded = read_manifest(work, CODED, batch.partition)
        hits = {
            entry.order
            for manifest in (segments, coded)
            if manifest is not None
            for entry in manifest.files()
            if entry.sha256.startswith(prefix)
        }
        if segments is not None:
            for entry in segments.entries if hits else ():
                if entry.order in hits and entry.audio_id in recordings:
                    yield recordings[entry.audio_id], segments, entry


def _not_found(work: Store, batches: Iterable[Batch], name: str) -> str:
    recording_name = _LINE.sub("", name.split("/", 1)[-1])  # the recording that was meant
    forgotten = {audio_id for _, audio_id in read_tombstones(work)}
    if gone := [audio_id for audio_id in forgotten if recording_name in (audio_id, slug(audio_id))]:
        return f"{name}: the recording {gone[0]} was forgotten"
    names: list[str] = []
    for batch in batches:
        slugs = [slug(recording.audio_id) for recording in batch.recordings]
        close_slugs = difflib.get_close_matches(recording_name, slugs, 2, 0.5)
        manifest = read_manifest(work, SEGMENTS, batch.partition) if close_slugs else None
        lines = (entry for entry in manifest.entries if entry.kind == "line") if manifest else ()
        names += [row_key(str(batch.partition), entry) for entry in lines if slug(entry.audio_id) in close_slugs]
    close = difflib.get_close_matches(name, names, 3, 0.5)
    hint = f"; did you mean {', '.join(close)}?" if close else "."
    return (
        f"there is no row {name}{hint} A row is named by its __key__ (my-channel/my-recording_seg_7), by AUDIO_ID and "
        "INDEX, or by the SHA-256 of its segment file"
    )
