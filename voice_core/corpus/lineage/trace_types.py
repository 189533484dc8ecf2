"""What is known of one line of one transcript, from the raw object to the Parquet file's row.

What is not known, such as the raw object of an adopted recording, is None or empty.
"""

from dataclasses import dataclass, field
from typing import Any

from voice_core.stages.labels import Labels
from voice_core.storage.store import Store


@dataclass(frozen=True, slots=True)
class RawObject:
    """An object of the raw bucket as it was when its batch was last looked at; `version` is a GCS generation, say."""

    key: str
    size_bytes: int | None = None
    etag: str = ""
    version: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class TranscriptLine(Labels):
    """The line as the transcript has it, with its labels; seconds from the start of the recording."""

    index: int
    text: str
    start_sec: float | None
    end_sec: float | None


@dataclass(frozen=True, slots=True)
class CutSpan:
    """Where the line was cut, in samples and seconds from the start of the recording."""

    start: int
    stop: int
    sample_rate_hz: int
    start_sec: float
    stop_sec: float


@dataclass(frozen=True, slots=True)
class ThresholdResult:
    """A threshold of the rules beside what was measured; `bound` says which of min and max it is."""

    measure: str
    value: float | None
    bound: str
    threshold: float

    @property
    def passes(self) -> bool:
        if self.value is None:
            return True
        return self.value >= self.threshold if self.bound == "min" else self.value <= self.threshold


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why the line is in no row."""

    stage: str
    reason: str
    value: float | None
    threshold: float | None
    message: str


@dataclass(frozen=True, slots=True)
class CommittedFile:
    """A file of the work root that was committed. `freed` ones were deleted on purpose."""

    key: str
    sha256: str
    size_bytes: int | None = None
    freed: bool = False


@dataclass(frozen=True, slots=True)
class RowLocation:
    """A row of a Parquet file: `row` counts from 0 within `row_group`; both None where the file cannot be read."""

    config: str
    split: str
    file: CommittedFile
    row_group: int | None = None
    row: int | None = None
    role: str = ""  # in a pair
    partner: str = ""  # the other row of the pair


@dataclass(frozen=True, slots=True)
class PublishedRevision:
    """A revision at a hub. `same` says whether the files that lie there are the ones that hold the row now."""

    url: str
    branch: str
    revision: str
    same: bool


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything that is known of one line of one transcript."""

    name: str
    partition: str
    channel: str
    audio_id: str
    status: str  # of the recording
    status_message: str
    adopted_from: str
    audio: RawObject
    transcript: RawObject
    line: TranscriptLine
    cut: CutSpan | None
    rejected: Rejection | None
    measures: tuple[ThresholdResult, ...]
    settings: dict[str, Any]  # of cutting
    code_versions: dict[str, str]  # by stage
    segment: CommittedFile | None
    coded: CommittedFile | None
    codec: dict[str, Any]
    dataset: str
    split: str
    split_reason: str
    rows: tuple[RowLocation, ...] = ()
    published: tuple[PublishedRevision, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class VerifiedObject:
    """An object that was read again. `state` is "same", "another", "missing", "freed" or "unknown"."""

    what: str
    key: str
    state: str
    message: str = ""


def verify_trace(trace: Trace, raw: Store, work: Store) -> list[VerifiedObject]:
    """Read every object of a trace again, and compare hashes."""
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
        return VerifiedObject(what, source.key, "unknown", "it was not in the raw bucket when it was last looked for")
    info = raw.head(source.key)
    if info is None:
        return VerifiedObject(what, source.key, "missing", "it is no longer in the raw bucket")
    same_name = (source.etag, source.version) == (info.etag, info.version)
    if raw.hash(source.key) != source.sha256:
        return VerifiedObject(what, source.key, "another", "its content is another now: `voice build` takes it in")
    return VerifiedObject(
        what, source.key, "same", "" if same_name else "it was uploaded again since, with the same content"
    )


def _verify_file(work: Store, what: str, place: CommittedFile) -> VerifiedObject:
    if work.head(place.key) is None:
        state = "freed" if place.freed else "missing"
        return VerifiedObject(what, place.key, state, "" if place.freed else "`voice build --verify` makes it again")
    if work.hash(place.key) != place.sha256:
        return VerifiedObject(what, place.key, "another", "not what was committed: `voice build --verify` mends it")
    return VerifiedObject(what, place.key, "same")
