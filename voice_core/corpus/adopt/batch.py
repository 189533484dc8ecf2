"""Adopt the recordings of one batch: find what is left to do, adopt it, and commit the batch."""

import dataclasses
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from voice_core.audio.header import AudioInfo
from voice_core.compute import progress, workers
from voice_core.corpus.adopt.adopt_recording import AdoptedRecording, AdoptParameters, AdoptTask, adopt_recording
from voice_core.corpus.adopt.listing import SourceRecording
from voice_core.corpus.ingest.batch_model import Adoption
from voice_core.corpus.ingest.batches import read_batch, update_recordings
from voice_core.corpus.ingest.recordings import Stray
from voice_core.corpus.manifest import Entry, Manifest, RecordingOutcome, read_manifest, sorted_entries, write_manifest
from voice_core.corpus.names import ADOPT, SEGMENTS
from voice_core.corpus.presence import intact_keys
from voice_core.corpus.segment.segment_plan import parameters
from voice_core.corpus.segment.segment_stage import build_segments
from voice_core.fingerprint import fingerprint
from voice_core.layout import PartitionKey
from voice_core.settings import Settings
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.store import Store

_SAVE_INTERVAL_SEC = 20.0


@dataclass(slots=True)
class AdoptReport:
    """The result for every object under the URL: `adopted`, `rejected`, `left_out` or `strays`."""

    partitions: list[PartitionKey] = field(default_factory=list)  # of adopted batches with recordings found here
    recordings: int = 0
    adopted: int = 0  # segment files, of this run and earlier ones
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)  # by (stage, reason)
    left_out: dict[str, int] = field(default_factory=dict)  # files of recordings that are not adopted, by the reason
    strays: list[Stray] = field(default_factory=list)
    files_read: int = 0  # of this run
    files_written: int = 0
    wall_sec: float = 0.0

    @property
    def segment_files(self) -> int:
        """All segment files under the URL."""
        return self.adopted + self.rejected.total() + sum(self.left_out.values())

    @property
    def objects(self) -> int:
        """All objects under the URL."""
        return self.segment_files + len(self.strays)


def adopted_audio_info(terms: AdoptParameters, seconds: float) -> AudioInfo:
    return AudioInfo("npz", "adopted", terms.sample_rate_hz, 1, round(seconds, 3))


class BatchAdopter:
    """Adopts the recordings of one batch, and resumes an interrupted run."""

    def __init__(
        self,
        source: Store,
        work: Store,
        settings: Settings,
        terms: AdoptParameters,
        partition: PartitionKey,
        found: Mapping[str, SourceRecording],
        report: AdoptReport,
    ) -> None:
        self._source, self._work, self._settings, self._terms = source, work, settings, terms
        self._partition, self._found, self._report = partition, found, report
        self._obsolete_keys: set[str] = set()
        self._saved = 0.0

    def run(self) -> None:
        work = self._work
        with hold_lock(work, str(self._partition)) as self._work:
            self._load()
            todo = [found for found in self._found.values() if not self._is_adopted(found)]
            if todo:
                self._adopt(todo)
        manifest = read_manifest(work, SEGMENTS, self._partition)
        if todo or manifest is None or not manifest.complete:
            manifest = build_segments(work, work, self._partition, self._settings).manifest
        self._update_report(manifest)

    def _load(self) -> None:
        batch = read_batch(self._work, self._partition)
        self._recordings = {item.audio_id: item for item in batch.recordings if item.audio_id in self._found}
        old = read_manifest(self._work, SEGMENTS, self._partition)
        if old is not None and old.entries and old.sample_rate_hz != self._terms.sample_rate_hz:
            raise ValueError(
                f"{self._partition} contains adopted segments at {old.sample_rate_hz} Hz, but cut.sample_rate_hz is "
                f"{self._terms.sample_rate_hz}: set it to {old.sample_rate_hz}"
            )
        self._intact = intact_keys(self._work, old, verify=False)
        self._outcomes = {item.audio_id: item for item in old.recordings} if old else {}
        self._rows: dict[str, list[Entry]] = defaultdict(list)
        for entry in old.entries if old else ():
            if entry.kind == "line":
                self._rows[entry.audio_id].append(entry)

    def _adoption(self, audio_id: str) -> Adoption:
        return self._recordings[audio_id].adopted or Adoption("")

    def _is_adopted(self, found: SourceRecording) -> bool:
        """Whether the recording was adopted from these files with these parameters, and is complete."""
        origin = self._adoption(found.audio_id)
        here = found.indices
        lost = (entry for entry in self._rows[found.audio_id] if entry.index in here and not self._is_intact(entry))
        same = (origin.url, origin.identity) == (self._source.url, self._identity(found))
        return same and found.audio_id in self._outcomes and next(lost, None) is None

    def _is_intact(self, entry: Entry) -> bool:
        return entry.key in self._intact if entry.key else entry.stage == ADOPT

    def _identity(self, found: SourceRecording) -> str:
        return fingerprint(self._terms.fingerprint, found.identity)

    def _adopt(self, todo: Sequence[SourceRecording]) -> None:
        tasks = [
            AdoptTask(self._source, self._work, self._partition, found, self._terms, self._stored_rows(found.audio_id))
            for found in todo
        ]
        count = self._settings.workers if self._source.shareable and self._work.shareable else 1
        self._save()
        total = sum(len(found.files) for found in todo)
        with progress.track(f"adopting {self._partition}", total, "segments") as bar:
            for task, adopted in workers.map_unordered(adopt_recording, tasks, count, name=lambda task: task.found.key):
                self._record_adopted(task.found, adopted)
                bar.advance(len(task.found.files))
                if time.monotonic() - self._saved > _SAVE_INTERVAL_SEC:
                    self._save()
        self._save()

    def _stored_rows(self, audio_id: str) -> dict[str, Entry]:
        return {row.fingerprint: row for row in self._rows[audio_id] if row.fingerprint and self._is_intact(row)}

    def _record_adopted(self, found: SourceRecording, adopted: AdoptedRecording) -> None:
        audio_id, url, here = found.audio_id, self._source.url, found.indices
        before = self._rows[audio_id]
        # Rows whose files were removed from the source since are kept: there is no other copy.
        kept = [row for row in before if row.index not in here] if self._adoption(audio_id).url == url else []
        rows = [*sorted_entries([*adopted.entries, *kept])]
        self._rows[audio_id] = rows
        self._outcomes[audio_id] = _outcome(found, rows)
        self._obsolete_keys |= {row.key for row in before if row.key} - {row.key for row in rows}
        origin = Adoption(
            url=url,
            identity="" if adopted.failed_reads else self._identity(found),
            content=fingerprint([(row.index, row.fingerprint, row.reason * (row.stage == ADOPT)) for row in rows]),
            codec=self._terms.codec,
            revision=self._terms.revision,
        )
        seconds = sum(row.sample_count for row in rows) / self._terms.sample_rate_hz
        self._recordings[audio_id] = dataclasses.replace(
            self._recordings[audio_id], key=found.key, adopted=origin, info=adopted_audio_info(self._terms, seconds)
        )
        self._report.files_read += adopted.read
        self._report.files_written += adopted.written

    def _save(self) -> None:
        """Save the state, so that an interrupted run resumes from here."""
        draft = Manifest(
            SEGMENTS, str(self._partition), False, self._terms.sample_rate_hz, "", parameters(self._settings),
            tuple(self._outcomes.values()), sorted_entries(row for rows in self._rows.values() for row in rows),
        )  # fmt: skip
        write_manifest(self._work, draft)
        self._save_batch()
        self._work.delete(self._obsolete_keys)
        self._obsolete_keys = set()
        self._saved = time.monotonic()

    def _save_batch(self) -> None:
        update_recordings(self._work, self._partition, lambda item: self._recordings.get(item.audio_id, item))

    def _update_report(self, manifest: Manifest) -> None:
        report = self._report
        report.partitions.append(self._partition)
        report.recordings += len(self._found)
        here = {audio_id: found.indices for audio_id, found in self._found.items()}
        for entry in manifest.entries:
            if entry.index not in here.get(entry.audio_id, ()):
                continue
            if entry.key:
                report.adopted += 1
            else:
                report.rejected[entry.stage, entry.reason] += 1


def _outcome(found: SourceRecording, rows: Sequence[Entry]) -> RecordingOutcome:
    unreadable = [row for row in rows if row.reason in ("unreadable", "not_read") and row.stage == ADOPT]
    message = (
        f"{len(unreadable)} of its {len(rows)} segment files cannot be read: {unreadable[0].message}"
        if unreadable
        else ""
    )
    return RecordingOutcome(
        audio_id=found.audio_id,
        raw_key=found.key,
        status="damaged" if unreadable else "ok",
        sample_count=sum(row.sample_count for row in rows),
        message=message,
    )
