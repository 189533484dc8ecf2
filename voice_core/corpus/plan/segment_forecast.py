"""What cutting would do to batches: which recordings it would decode, and which lines it would cut.

Reads manifests, transcripts and the headers of changed recordings, but no audio.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from voice_core.corpus.ingest.batch_model import Batch, Recording, with_header
from voice_core.corpus.ingest.discovery import Discovery
from voice_core.corpus.ingest.recordings import probe_headers
from voice_core.corpus.ingest.transcript_types import TranscriptError
from voice_core.corpus.ingest.transcripts import parse_transcript
from voice_core.corpus.labels import stored_labels
from voice_core.corpus.manifest import Entry, Manifest, RecordingOutcome, read_manifest
from voice_core.corpus.names import SEGMENTS
from voice_core.corpus.plan.estimates import segment_file_bytes
from voice_core.corpus.segment import segment_plan
from voice_core.corpus.segment.boundaries import Cut
from voice_core.corpus.segment.content_hashes import ContentHashes
from voice_core.corpus.segment.line_plan import plan_lines, reusable_outcome
from voice_core.corpus.segment.measures import speech_characters
from voice_core.corpus.segment.rules import apply_rules
from voice_core.fingerprint import sha256
from voice_core.settings import RuleSettings, Settings
from voice_core.storage.store import Store, StoreError

MAX_TRANSCRIPTS = 1_000
"""A plan reads at most so many transcripts, evenly spaced; the other recordings are assumed to be like these."""


@dataclass(frozen=True, slots=True)
class NewSegment:
    """A line that would be cut. `keep_probability` is the probability that the rules keep it, by its text and times and
    by the share of segments kept so far."""

    audio_id: str
    speaker_id: str
    text: str
    seconds: float
    size_bytes: float
    keep_probability: float


@dataclass(frozen=True, slots=True)
class RecordingForecast:
    """What a run would do with one recording that it has to process.

    `exact` is false where the result depends on audio that was not read. If the transcript was not `read`, only the
    length of the recording is known.
    """

    recording: Recording
    read: bool = True
    exact: bool = True
    decoded: bool = False
    decoded_sec: float = 0.0
    raw_bytes: float = 0.0
    reused: tuple[Entry, ...] = ()
    new: tuple[NewSegment, ...] = ()


@dataclass(frozen=True, slots=True)
class SegmentForecast:
    """A batch after cutting: rows that are kept from the current manifest, with the verdicts of the current rules, and
    the recordings that are opened.

    `changed` is false if the new manifest would be equal to the current one.
    """

    batch: Batch
    old: Manifest | None
    changed: bool
    reused: Sequence[Entry] = field(repr=False)
    recording_forecasts: tuple[RecordingForecast, ...] = ()

    @property
    def known(self) -> bool:
        """Whether the rows of the manifest are known without an estimate."""
        return not any(item.new or not item.read for item in self.recording_forecasts)


@dataclass(frozen=True, slots=True)
class _BatchDraft:
    """A batch before any transcript is read."""

    batch: Batch
    old: Manifest | None
    contents: ContentHashes
    rows: segment_plan.Rows
    reused: tuple[Entry, ...]
    todo: tuple[Recording, ...]
    sizes: Mapping[str, int]  # of the audio when it was last read, by audio_id


def forecast_segments(
    raw: Store,
    work: Store,
    discovery: Discovery,
    batches: Sequence[Batch],
    settings: Settings,
    kept_share: float,
    *,
    max_transcripts: int = MAX_TRANSCRIPTS,
) -> list[SegmentForecast]:
    """What the stage "segments" would do to these batches; `kept_share` is assumed for lines that were never cut.

    Raises `StoreError` if the raw bucket cannot be read. A transcript that cannot be parsed counts as rejected.
    """
    drafts = [_draft(raw, work, discovery, batch, settings) for batch in batches]
    todo = [(number, item) for number, draft in enumerate(drafts) for item in draft.todo]
    chosen = _sample_evenly([pair for pair in todo if _has_lines(pair[1], settings)], max_transcripts)
    numbers = {str(place): pair for place, pair in enumerate(chosen)}

    def forecast_one(place: str) -> tuple[int, RecordingForecast]:
        number, recording = numbers[place]
        return number, _forecast_recording(raw, recording, drafts[number], settings, kept_share)

    seen: dict[tuple[int, str], RecordingForecast] = {}
    for number, opened in raw.map_keys(forecast_one, numbers):
        seen[number, opened.recording.audio_id] = opened
    return [_forecast_batch(number, draft, seen, settings) for number, draft in enumerate(drafts)]


def _draft(raw: Store, work: Store, discovery: Discovery, batch: Batch, settings: Settings) -> _BatchDraft:
    listed = batch
    if batch.partition in discovery.batch_changes:
        names = discovery.listing.recordings
        listed = dataclasses.replace(
            batch,
            recordings=tuple(
                item.updated_from(names.get((item.channel, item.audio_id)))
                for item in batch.recordings
                if (item.channel, item.audio_id) not in discovery.tombstones
            ),
        )
        listed = _with_headers(raw, listed, batch, settings)
    old = read_manifest(work, SEGMENTS, batch.partition)
    contents = ContentHashes(work, batch.partition)
    rows, lost = segment_plan.split_intact_rows(work, old)
    done, todo = segment_plan.plan_segments(listed, old, contents, settings, rows, lost)
    existing = tuple(entry for result in done.values() for entry in result.entries)
    sizes = {item.audio_id: item.audio.size for item in batch.recordings if item.audio}
    return _BatchDraft(listed, old, contents, rows, existing, tuple(todo), sizes)


def _with_headers(raw: Store, listed: Batch, before: Batch, settings: Settings) -> Batch:
    """Read the headers of recordings that were replaced since their headers were last read."""
    known = {item.audio_id: item.audio for item in before.recordings}
    replaced = [
        item.key
        for item in listed.recordings
        if item.audio is not None and known[item.audio_id] not in (None, item.audio) and not item.vanished
    ]
    if not replaced:
        return listed
    headers = probe_headers(raw, replaced, settings)
    recordings = (
        with_header(item, headers[item.key], settings.audio) if item.key in headers else item
        for item in listed.recordings
    )
    return dataclasses.replace(listed, recordings=tuple(recordings))


def _has_lines(recording: Recording, settings: Settings) -> bool:
    """Whether the stage would read the transcript."""
    transcript = recording.transcript
    if recording.vanished or recording.trouble or transcript is None:
        return False
    return transcript.size <= settings.max_transcript_mb * 1e6


def _sample_evenly(items: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of the items, evenly spaced.

    >>> _sample_evenly("abcdefgh", 3), _sample_evenly("ab", 3)
    (['a', 'c', 'f'], ['a', 'b'])
    """
    count = min(len(items), most)
    return [items[place * len(items) // count] for place in range(count)]


def _forecast_recording(
    raw: Store, recording: Recording, draft: _BatchDraft, settings: Settings, kept_share: float
) -> RecordingForecast:
    """What happens to a recording, by its transcript."""
    assert recording.transcript is not None
    assert recording.audio is not None
    size = recording.audio.size
    try:
        data = raw.get(recording.transcript.key)
        lines = parse_transcript(data, recording.transcript.key).lines
    except TranscriptError:
        return RecordingForecast(dataclasses.replace(recording, transcript_sha256=sha256(data)), raw_bytes=len(data))
    except StoreError:
        return RecordingForecast(recording, exact=False)
    recording = dataclasses.replace(recording, transcript_sha256=sha256(data))
    audio_id = recording.audio_id
    earlier = _earlier(draft, audio_id)
    audio_sha256 = draft.contents.sha256(recording)
    certain = bool(audio_sha256)
    if not certain and earlier is not None and draft.sizes.get(audio_id) == size:
        audio_sha256 = earlier.audio_sha256  # probably touched or copied: a build reads it to compare
    files = {entry.fingerprint: entry for entry in draft.rows.get(audio_id, ()) if entry.key}
    plan = plan_lines(lines, audio_id, audio_sha256, files, settings.cut)
    same_limits = segment_plan.same_audio_limits(draft.old, settings)
    before = reusable_outcome(earlier, audio_sha256) if audio_sha256 and same_limits else None
    readable = (recording.info is not None or before is not None) and not recording.broken_limit(settings.audio)
    decoded = bool(plan.todo or before is None) and readable
    decoded_sec = 0.0
    if decoded:
        whole = before.sample_count / settings.cut.sample_rate_hz if before else recording.duration_sec
        last = max((cut.stop.high for cut in plan.todo), default=0) / settings.cut.sample_rate_hz
        decoded_sec = min(whole, last) if before is not None and before.status == "ok" else whole
    by_index = {entry.index: entry for entry in draft.rows.get(audio_id, ()) if before is not None}
    return RecordingForecast(
        recording,
        exact=certain,
        decoded=decoded,
        decoded_sec=decoded_sec,
        raw_bytes=len(data) + (size if decoded or not certain or raw.local_root is None else 0),
        reused=(*plan.rejected, *plan.reused),
        new=tuple(
            _new_segment(cut, by_index.get(cut.line.index), audio_id, settings, kept_share)
            for cut in plan.todo
            if readable
        ),
    )


def _earlier(draft: _BatchDraft, audio_id: str) -> RecordingOutcome | None:
    return next((item for item in draft.old.recordings if item.audio_id == audio_id), None) if draft.old else None


def _new_segment(cut: Cut, old: Entry | None, audio_id: str, settings: Settings, kept_share: float) -> NewSegment:
    line = cut.line
    texts = (line.text, *stored_labels(line).values(), audio_id)
    seconds = line.end_sec - line.start_sec
    return NewSegment(
        audio_id,
        line.speaker_id,
        line.text,
        seconds,
        segment_file_bytes(seconds, settings.cut.sample_rate_hz, sum(map(len, texts))),
        _keep_probability(cut, old, settings.rules, kept_share),
    )


def _keep_probability(cut: Cut, old: Entry | None, rules: RuleSettings, kept_share: float) -> float:
    """Probability that the rules keep a line once it is cut: 0 if its text or times break a rule, else by the result
    of the last cut, else `kept_share`.

    `old` is the row of the line with this number in the same audio.
    """
    line = cut.line
    seconds = line.end_sec - line.start_sec
    pace = speech_characters(line.text) / seconds
    again = old is not None and (old.start_sec, old.end_sec) == (line.start_sec, line.end_sec)
    if old is not None and again and old.stage == "decode":
        return 0.0
    if old is not None and again and old.key:
        return 1.0 if apply_rules(dataclasses.replace(old, chars_per_sec=pace), rules).kept else 0.0
    unmeasured = Entry("line", "", line.index, duration_sec=seconds, chars_per_sec=pace)
    return kept_share if apply_rules(unmeasured, rules).kept else 0.0


def _forecast_without_transcript(recording: Recording, draft: _BatchDraft, settings: Settings) -> RecordingForecast:
    """A recording whose transcript was not read: it has no usable one, or enough others were read."""
    if not _has_lines(recording, settings):
        return RecordingForecast(recording)
    return RecordingForecast(recording, read=False, exact=False, reused=tuple(draft.rows.get(recording.audio_id, ())))


def _forecast_batch(
    number: int, draft: _BatchDraft, seen: Mapping[tuple[int, str], RecordingForecast], settings: Settings
) -> SegmentForecast:
    opened = [
        seen.get((number, item.audio_id)) or _forecast_without_transcript(item, draft, settings) for item in draft.todo
    ]
    existing = [*draft.reused, *(entry for item in opened for entry in item.reused)]
    judged = [apply_rules(entry, settings.rules) if entry.key else entry for entry in existing]
    changed = True
    if draft.old is not None and draft.old.complete and all(item.read for item in opened):
        changed = not _inputs_unchanged(draft.old, draft, opened, settings)
    return SegmentForecast(draft.batch, draft.old, changed, judged, tuple(opened))


def _inputs_unchanged(
    old: Manifest, draft: _BatchDraft, opened: Sequence[RecordingForecast], settings: Settings
) -> bool:
    """Whether the manifest would get the fingerprint that it has, if audio that seems unchanged is unchanged."""
    looked = {item.recording.audio_id: item for item in opened}
    recordings = []
    for recording in draft.batch.recordings:
        item = looked.get(recording.audio_id)
        earlier = _earlier(draft, recording.audio_id)
        if item is not None and earlier is not None and not item.decoded:
            draft.contents.remember(item.recording, earlier)
        recordings.append(item.recording if item is not None else recording)
    batch = dataclasses.replace(draft.batch, recordings=tuple(recordings))
    return segment_plan.inputs_unchanged(old, batch, draft.contents, settings)
