"""Adopt segment files that other programs cut: into batches with manifests, like segments that are cut here.

Plan: list, group by recording, assign new recordings to batches. Run: read, validate and store each file once. Commit:
as for every batch, the manifest last. A second run skips finished work.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from voice_core.codecs import load_codec
from voice_core.compute import progress
from voice_core.corpus.adopt.adopt_recording import AdoptParameters, RewriteMode
from voice_core.corpus.adopt.batch import AdoptReport, BatchAdopter, adopted_audio_info
from voice_core.corpus.adopt.listing import RecordingKey, SegmentListing, SourceRecording, find_segments
from voice_core.corpus.ingest.batch_index import BatchIndex
from voice_core.corpus.ingest.batch_model import Adoption, Batch, Recording
from voice_core.corpus.ingest.batches import read_batches
from voice_core.corpus.ingest.tombstones import read_tombstones
from voice_core.corpus.segment.npz_limits import MAX_FILE_BYTES
from voice_core.corpus.segment.segment_files import SegmentFileError, read_sample_count
from voice_core.settings import Settings
from voice_core.settings.url_overlap import describe_overlap
from voice_core.storage.store import Store, StoreError

_PROBED_FILES = 3  # files of a recording that are tried for its bytes per second


@dataclass(frozen=True, slots=True)
class AdoptOptions:
    """`codec` and `revision` name the codec of the codes in the files; without them, segments are encoded again."""

    channel: str = ""
    codec: str = ""
    revision: str = ""
    form: RewriteMode = "lossless"
    replace: bool = False  # adopt recordings again that were adopted from another URL


def check_codec(options: AdoptOptions) -> None:
    """Raise `ValueError` if the codec is unknown or its revision is missing."""
    if not options.codec:
        if options.revision:
            raise ValueError("--revision needs --codec")
        return
    codec = load_codec(options.codec)
    if not options.revision:
        raise ValueError(
            f"--codec {options.codec} needs --revision, the revision that made the codes (the installed one is "
            f"{codec.revision}): codes of different revisions must not be mixed"
        )


def adopt(source: Store, work: Store, settings: Settings, options: AdoptOptions) -> AdoptReport:
    """Adopt all segment files under the source's URL. Raises `ValueError` for invalid options."""
    started = time.monotonic()
    check_codec(options)
    if how := describe_overlap(source.url, work.url):
        raise ValueError(f"{source.url} {how} the work root: adopt a folder outside of it")
    terms = AdoptParameters(settings.cut.sample_rate_hz, options.form, options.codec, options.revision)
    found = find_segments(source.listing(), source.url, options.channel)
    report = AdoptReport(strays=found.strays)
    batches = read_batches(work)
    selected = _select_recordings(found, batches, read_tombstones(work), source.url, options, report)
    known = _recording_keys(batches)
    new_recordings = [item for name, item in selected.items() if name not in known]
    batch_index = BatchIndex.read(work, {item.channel for item in new_recordings})
    batch_index.assign(_probe_recordings(source, new_recordings, terms), settings)
    for batch in read_batches(work):
        here = [selected[name] for item in batch.recordings if (name := (item.channel, item.audio_id)) in selected]
        if here:
            BatchAdopter(
                source, work, settings, terms, batch.partition, {item.audio_id: item for item in here}, report
            ).run()
    report.wall_sec = time.monotonic() - started
    return report


def _select_recordings(
    found: SegmentListing,
    batches: Iterable[Batch],
    forgotten: set[RecordingKey],
    url: str,
    options: AdoptOptions,
    report: AdoptReport,
) -> dict[RecordingKey, SourceRecording]:
    """The recordings to adopt; the others are added to the report with the reason. Pure."""
    owners = {(item.channel, item.audio_id): (batch, item) for batch in batches for item in batch.recordings}
    selected: dict[RecordingKey, SourceRecording] = {}
    for name, recording in found.recordings.items():
        reason = "the recording was forgotten" if name in forgotten else ""
        batch, owner = owners.get(name, (None, None))
        if batch is not None and owner is not None and not reason:
            if owner.adopted is None:
                reason = f"the recording is in {batch.partition} and is cut there"
            elif owner.adopted.url != url and not options.replace:
                reason = f"it was adopted from {owner.adopted.url}; use --replace to adopt these files instead"
        if reason:
            report.left_out[reason] = report.left_out.get(reason, 0) + len(recording.files)
        else:
            selected[name] = recording
    return selected


def _recording_keys(batches: Iterable[Batch]) -> set[RecordingKey]:
    return {(item.channel, item.audio_id) for batch in batches for item in batch.recordings}


def _probe_recordings(
    source: Store, new_recordings: Sequence[SourceRecording], terms: AdoptParameters
) -> list[Recording]:
    """New recordings with estimated lengths, which limit the size of a batch: one file of each is read."""

    def probe(index: str) -> Recording:
        found = new_recordings[int(index)]
        task.advance()
        info = adopted_audio_info(terms, _estimate_sec(source, found, terms))
        return Recording(found.channel, found.audio_id, found.key, info, adopted=Adoption(source.url))

    with progress.track("reading new recordings", len(new_recordings), "recordings") as task:
        return source.map_keys(probe, map(str, range(len(new_recordings))))


def _estimate_sec(source: Store, found: SourceRecording, terms: AdoptParameters) -> float:
    for file in [item for item in found.files if item.info.size <= MAX_FILE_BYTES][:_PROBED_FILES]:
        try:
            with source.open(file.info.key) as reader:
                seconds = read_sample_count(reader, file.info.key) / terms.sample_rate_hz
        except (StoreError, SegmentFileError):
            continue
        return found.size_bytes / file.info.size * seconds
    return 0.0
