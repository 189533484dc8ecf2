"""What is known of one line of one transcript, from the raw object to the Parquet file's row.

What is not known, such as the raw object of an adopted recording, is None or empty.
"""

from dataclasses import dataclass, field
from typing import Any

from voice_core.storage.store import Store


@dataclass(frozen=True, slots=True)
class Source:
    """An object of the raw bucket as it was when its batch was last looked at; `version` is a GCS generation, say."""

    key: str
    size_bytes: int | None = None
    etag: str = ""
    version: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Transcribed:
    """The line as the transcript has it, seconds from the start of the recording."""

    index: int
    text: str
    start_sec: float | None
    end_sec: float | None
    speaker_id: str
    gender: str
    dialect: str
    tone: str


@dataclass(frozen=True, slots=True)
class CutPlace:
    """Where the line was cut, in samples and seconds from the start of the recording."""

    start: int
    stop: int
    sample_rate_hz: int
    start_sec: float
    stop_sec: float


@dataclass(frozen=True, slots=True)
class Measured:
    """A threshold of the rules beside what was measured; `bound` says which of min and max it is."""

    measure: str
    value: float | None
    bound: str
    threshold: float

    @property
    def holds(self) -> bool:
        if self.value is None:
            return True
        return self.value >= self.threshold if self.bound == "min" else self.value <= self.threshold


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why the line is in no row."""

    stage: str
    reason: str
    value: float | None
    threshold: float | None
    message: str


@dataclass(frozen=True, slots=True)
class FilePlace:
    """A file of the work root that was committed. `freed` ones were deleted on purpose."""

    key: str
    sha256: str
    size_bytes: int | None = None
    freed: bool = False


@dataclass(frozen=True, slots=True)
class RowPlace:
    """A row of a Parquet file: `row` counts from 0 within `row_group`; both None where the file cannot be read."""

    config: str
    split: str
    file: FilePlace
    row_group: int | None = None
    row: int | None = None
    role: str = ""  # in a pair
    partner: str = ""  # the other row of the pair


@dataclass(frozen=True, slots=True)
class PublishedAt:
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
    audio: Source
    transcript: Source
    line: Transcribed
    cut: CutPlace | None
    rejected: Rejected | None
    measures: tuple[Measured, ...]
    settings: dict[str, Any]  # of cutting
    code_versions: dict[str, str]  # by stage
    segment: FilePlace | None
    coded: FilePlace | None
    codec: dict[str, Any]
    dataset: str
    split: str
    split_reason: str
    rows: tuple[RowPlace, ...] = ()
    published: tuple[PublishedAt, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Found:
    """An object that was read again. `state` is "same", "another", "missing", "freed" or "unknown"."""

    what: str
    key: str
    state: str
    message: str = ""


def verify(trace: Trace, raw: Store, work: Store) -> list[Found]:
    """Read every object of a trace again, and compare hashes."""
    checks = [_raw_again(raw, "recording", trace.audio), _raw_again(raw, "transcript", trace.transcript)]
    places = [("segment file", trace.segment), ("coded file", trace.coded)]
    places += [(f"rows ({place.config})", place.file) for place in trace.rows]
    checks += [_file_again(work, what, place) for what, place in dict.fromkeys(places) if place is not None]
    return checks


def _raw_again(raw: Store, what: str, source: Source) -> Found:
    if not source.key or not source.sha256:
        return Found(what, source.key, "unknown", "it was not in the raw bucket when it was last looked for")
    info = raw.head(source.key)
    if info is None:
        return Found(what, source.key, "missing", "it is no longer in the raw bucket")
    same_name = (source.etag, source.version) == (info.etag, info.version)
    if raw.hash(source.key) != source.sha256:
        return Found(what, source.key, "another", "its content is another now: `voice build` takes it in")
    return Found(what, source.key, "same", "" if same_name else "it was uploaded again since, with the same content")


def _file_again(work: Store, what: str, place: FilePlace) -> Found:
    if work.head(place.key) is None:
        state = "freed" if place.freed else "missing"
        return Found(what, place.key, state, "" if place.freed else "`voice build --verify` makes it again")
    if work.hash(place.key) != place.sha256:
        return Found(what, place.key, "another", "not what was committed: `voice build --verify` mends it")
    return Found(what, place.key, "same")
