"""Trace a row of the dataset back to its raw objects, with hashes; or the reason why a line has no row.

`verify_trace` reads these objects again and compares them with what was committed.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from voice_core.corpus.dataset import pairs, splits
from voice_core.corpus.dataset.publications import read_publications
from voice_core.corpus.dataset.rows_stage import has_codec, read_dataset_manifest, row_key
from voice_core.corpus.evicted import EvictedFiles
from voice_core.corpus.ingest.batch_model import Recording
from voice_core.corpus.labels import label_values
from voice_core.corpus.lineage.row_lookup import find_rows
from voice_core.corpus.lineage.trace_types import (
    CommittedFile,
    CutSpan,
    PublishedRevision,
    RawObject,
    Rejection,
    RowLocation,
    ThresholdResult,
    Trace,
    TranscriptLine,
    VerifiedObject,
)
from voice_core.corpus.manifest import Entry, Manifest, RecordingOutcome, read_manifest
from voice_core.corpus.names import CODED, TEST
from voice_core.fingerprint import hash_to_unit_interval
from voice_core.layout import DatasetLayout, PartitionKey
from voice_core.settings import Settings
from voice_core.storage.store import ObjectInfo, Store


def trace_row(work: Store, settings: Settings, name: str) -> Trace:
    """Trace a row by its `__key__`, by "AUDIO_ID INDEX", or by the SHA-256 of its segment file (8 digits or more).

    Raises `LookupError` if no row or several rows match; the message lists candidates.
    """
    recording, segments, entry = find_rows(work, name)[0]
    return _Tracer(work, settings, recording, segments, entry).trace()


class _Tracer:
    """Collects what the manifests say of one line."""

    def __init__(self, work: Store, settings: Settings, recording: Recording, segments: Manifest, entry: Entry) -> None:
        self._work, self._settings, self._recording = work, settings, recording
        self._segments, self._entry = segments, entry
        self._partition = PartitionKey.parse(segments.partition)
        self._freed = EvictedFiles(work)
        self._coded = read_manifest(work, CODED, self._partition) if has_codec(settings) else None
        self._rows = read_dataset_manifest(work, self._partition, settings)

    def trace(self) -> Trace:
        entry, segments, recording = self._entry, self._segments, self._recording
        outcome = next((item for item in segments.recordings if item.audio_id == entry.audio_id), None)
        coded, row = self._of(self._coded), self._of(self._rows)
        last = next((item for item in (row, coded, entry) if item is not None and not item.kept), None)
        split, reason = self._split(row)
        rows = (*self._rows_of(row), *self._pairs_of(row)) if row is not None and row.kept else ()
        return Trace(
            name=row_key(segments.partition, entry),
            partition=segments.partition,
            channel=recording.channel,
            audio_id=entry.audio_id,
            status=outcome.status if outcome else "",
            status_message=outcome.message if outcome else "",
            adopted_from=recording.adopted.url if recording.adopted else "",
            audio=self._audio(outcome),
            transcript=self._transcript(outcome),
            line=TranscriptLine(entry.index, entry.text, entry.start_sec, entry.end_sec, **label_values(entry)),
            cut=self._cut(),
            rejected=Rejection(last.stage, last.reason, last.value, last.threshold, last.message) if last else None,
            measures=_measures(entry, segments.parameters.get("rules", {})),
            settings=dict(segments.parameters.get("cut", {})),
            code_versions=self._code_versions(),
            segment=self._file(entry),
            coded=self._file(coded) if coded is not None else None,
            codec=self._codec(),
            dataset=self._settings.dataset,
            split=split,
            split_reason=reason,
            rows=rows,
            published=self._published(rows),
        )

    def _of(self, manifest: Manifest | None) -> Entry | None:
        """The line's row in a later manifest."""
        if manifest is None or not manifest.complete or self._entry.kind != "line":
            return None
        return next((entry for entry in manifest.entries if entry.order == self._entry.order), None)

    def _audio(self, outcome: RecordingOutcome | None) -> RawObject:
        info = self._recording.audio
        key = outcome.raw_key if outcome else self._recording.key
        return _raw_object(info, key, outcome.audio_sha256 if outcome else "")

    def _transcript(self, outcome: RecordingOutcome | None) -> RawObject:
        info = self._recording.transcript
        return _raw_object(
            info, outcome.transcript_key if outcome else "", outcome.transcript_sha256 if outcome else ""
        )

    def _cut(self) -> CutSpan | None:
        entry, rate = self._entry, self._segments.sample_rate_hz
        if entry.cut_start is None or entry.cut_stop is None:
            return None
        return CutSpan(entry.cut_start, entry.cut_stop, rate, entry.cut_start / rate, entry.cut_stop / rate)

    def _file(self, entry: Entry) -> CommittedFile | None:
        if not entry.key:
            return None
        return CommittedFile(entry.key, entry.sha256, entry.size_bytes, self._freed.contains(entry.key, entry.sha256))

    def _code_versions(self) -> dict[str, str]:
        found = {"segments": self._segments.parameters.get("cut", {}).get("code", "")}
        found |= {m.stage: m.parameters.get("code", "") for m in (self._coded, self._rows) if m is not None}
        return {stage: version for stage, version in found.items() if version}

    def _codec(self) -> dict[str, Any]:
        known = self._coded.parameters if self._coded is not None else {}
        return {name: known[name] for name in ("codec", "revision", "stand_in") if name in known}

    def _split(self, row: Entry | None) -> tuple[str, str]:
        plan = splits.read_splits(self._work, self._settings)
        if row is None or not row.split or plan is None:
            return "", ""
        channel = self._partition.channel
        terms = plan.parameters
        scope, fraction = terms.get("speaker_scope", "recording"), terms.get("test_fraction")
        held_out = "is held out" if plan.split_of(channel, row.audio_id) == TEST else "is not held out"
        if scope != "recording":
            whom = f"with all recordings of the same speakers within the {scope}" if row.speaker_id else "alone"
            return row.split, f"its recording {held_out}, {whom} (test_fraction {fraction})"
        hash_fraction = hash_to_unit_interval("split", terms.get("seed", ""), (channel, row.audio_id))
        return row.split, f"its recording {held_out}: its hash is {hash_fraction:.4f}, test_fraction {fraction}"

    def _rows_of(self, row: Entry) -> Iterator[RowLocation]:
        assert self._rows is not None
        for item in self._rows.parameters.get("files", []):
            if item["split"] == row.split:
                yield from self._places(item, "__key__", "")

    def _pairs_of(self, row: Entry) -> Iterator[RowLocation]:
        record = pairs.read_pairs(self._work, self._partition, self._settings)
        for item in record.files if record is not None else ():
            if item["split"] == row.split:
                yield from self._places(item, "reference_key", "target_key")
                yield from self._places(item, "target_key", "reference_key")

    def _places(self, item: dict[str, Any], column: str, partner: str) -> Iterator[RowLocation]:
        """The positions of the row in a Parquet file, by a column of row keys."""
        file = CommittedFile(
            item["key"], item["sha256"], item.get("size_bytes"), self._freed.contains(item["key"], item["sha256"])
        )
        role = column.removesuffix("_key") if partner else ""
        config, split = str(item["config"]), str(item["split"])
        name = row_key(self._segments.partition, self._entry)
        try:
            with self._work.open(file.key) as reader:
                parquet = pq.ParquetFile(pa.PythonFile(reader))
                for group in range(parquet.num_row_groups):
                    table = parquet.read_row_group(group, columns=[column, *([partner] if partner else [])])
                    for number, key in enumerate(table[column].to_pylist()):
                        if key == name:
                            other = table[partner][number].as_py() if partner else ""
                            yield RowLocation(config, split, file, group, number, role, other)
        except (OSError, pa.ArrowException):
            if not partner:  # its pairs are unknown then
                yield RowLocation(config, split, file)

    def _published(self, rows: Iterable[RowLocation]) -> tuple[PublishedRevision, ...]:
        root = DatasetLayout(self._settings.dataset).root
        mine = {(place.file.key.removeprefix(root), place.file.sha256) for place in rows}
        if not mine:
            return ()
        return tuple(
            PublishedRevision(
                item.url, item.branch, item.revision, mine <= {(f["path"], f["sha256"]) for f in item.files}
            )
            for item in read_publications(self._work, self._settings)
        )


def _raw_object(info: ObjectInfo | None, key: str, sha256: str) -> RawObject:
    if info is None or info.key != key:
        return RawObject(key, sha256=sha256)
    return RawObject(key, info.size, info.etag, info.version, sha256)


def _measures(entry: Entry, rules: dict[str, float]) -> tuple[ThresholdResult, ...]:
    """The thresholds of the rules; each setting is named after the measure that it bounds."""
    names = [(setting.partition("_"), threshold) for setting, threshold in rules.items()]
    return tuple(ThresholdResult(name, getattr(entry, name, None), bound, limit) for (bound, _, name), limit in names)


def verify_trace(trace: Trace, raw: Store, work: Store) -> list[VerifiedObject]:
    """Read every object of a trace and compare its hash; raises `StoreError`."""
    checks = [
        _verify_raw_object(raw, "recording", trace.audio),
        _verify_raw_object(raw, "transcript", trace.transcript),
    ]
    places = [("segment file", trace.segment), ("coded file", trace.coded)]
    places += [(f"rows ({place.config})", place.file) for place in trace.rows]
    checks += [_verify_file(work, what, place) for what, place in dict.fromkeys(places) if place is not None]
    return checks


def _verify_raw_object(raw: Store, what: str, source: RawObject) -> VerifiedObject:
    if not source.key or not source.sha256:
        return VerifiedObject(what, source.key, "unknown", "it was not in the raw bucket at the last discovery")
    info = raw.head(source.key)
    if info is None:
        return VerifiedObject(what, source.key, "missing", "it is no longer in the raw bucket")
    same_name = (source.etag, source.version) == (info.etag, info.version)
    if raw.hash(source.key) != source.sha256:
        return VerifiedObject(what, source.key, "another", "its content has changed: `voice build` processes it")
    return VerifiedObject(what, source.key, "same", "" if same_name else "it was uploaded again with the same content")


def _verify_file(work: Store, what: str, place: CommittedFile) -> VerifiedObject:
    if work.head(place.key) is None:
        state = "freed" if place.freed else "missing"
        return VerifiedObject(what, place.key, state, "" if place.freed else "`voice build --verify` rebuilds it")
    if work.hash(place.key) != place.sha256:
        return VerifiedObject(what, place.key, "another", "it was changed: `voice build --verify` repairs it")
    return VerifiedObject(what, place.key, "same")
