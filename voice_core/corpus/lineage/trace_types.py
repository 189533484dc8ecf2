"""The lineage of one transcript line, from the raw object to the row of the Parquet file.

Unknown values, such as the raw object of an adopted recording, are None or empty.
"""

from dataclasses import dataclass, field
from typing import Any

from voice_core.corpus.labels import Labels


@dataclass(frozen=True, slots=True)
class RawObject:
    """An object of the raw bucket when its batch was last discovered; `version` is, for example, a GCS generation."""

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
    """The span that was cut, in samples and seconds from the start of the recording."""

    start: int
    stop: int
    sample_rate_hz: int
    start_sec: float
    stop_sec: float


@dataclass(frozen=True, slots=True)
class ThresholdResult:
    """A measured value and a threshold of the rules; `bound` is "min" or "max"."""

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
    """Why the line has no row."""

    stage: str
    reason: str
    value: float | None
    threshold: float | None
    message: str


@dataclass(frozen=True, slots=True)
class CommittedFile:
    """A committed file of the work root; `freed` says whether it was evicted."""

    key: str
    sha256: str
    size_bytes: int | None = None
    freed: bool = False


@dataclass(frozen=True, slots=True)
class RowLocation:
    """A row of a Parquet file: `row` counts from 0 within `row_group`; both are None if the file cannot be read."""

    config: str
    split: str
    file: CommittedFile
    row_group: int | None = None
    row: int | None = None
    role: str = ""  # in a pair
    partner: str = ""  # the other row of the pair


@dataclass(frozen=True, slots=True)
class PublishedRevision:
    """A revision at a hub; `same` says whether it has the files that contain the row now."""

    url: str
    branch: str
    revision: str
    same: bool


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything that is known of one transcript line."""

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
