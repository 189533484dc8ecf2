"""Totals of a dataset: kept and rejected audio, by label and reason. Pure.

Every total that is shown (card, page, terminal, `voice status --json`, Dagster's metadata) comes from a `Summary`.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import Any, get_args

from voice_core.corpus.dataset.parameter_sets import ParameterSet, parameter_sets
from voice_core.corpus.dataset.speakers import SpeakerScope, speaker_identity
from voice_core.corpus.labels import LABEL_NAMES
from voice_core.corpus.manifest import Entry, Manifest, RecordingStatus
from voice_core.layout import PartitionKey
from voice_core.settings import Settings

NO_LABEL = "not given"
REJECTION_STAGES = ("recording", "adopt", "transcript", "decode", "rules", "coded", "dataset")
"""The order in which rows are rejected."""

_STATUSES: tuple[str, ...] = get_args(RecordingStatus)
_MAX_WORST = 5  # segments that are listed, of those that were decoded again
_LAST_BIN_SEC = 30
_get_labels = attrgetter(*LABEL_NAMES)
_CODEC_PARAMETERS = (
    "codec", "revision", "stand_in", "codes_per_sec", "codebook_size", "input_sample_rate_hz", "output_sample_rate_hz",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Amount:
    """Rows and their audio, in samples so that sums are exact."""

    rows: int
    samples: int
    sample_rate_hz: int

    @property
    def seconds(self) -> float:
        return self.samples / self.sample_rate_hz

    @property
    def hours(self) -> float:
        return self.seconds / 3600


@dataclass(frozen=True, slots=True)
class LabelTotal(Amount):
    """Rows that share a label."""

    label: str


@dataclass(frozen=True, slots=True)
class RejectionTotal(Amount):
    """Rows that were rejected at a stage for a reason."""

    stage: str
    reason: str


@dataclass(frozen=True, slots=True)
class DurationBin(Amount):
    """Kept rows from `start_sec` to below `stop_sec`; the last bin has no end."""

    start_sec: int
    stop_sec: int | None

    @property
    def label(self) -> str:
        return f"{self.start_sec}+" if self.stop_sec is None else f"{self.start_sec}–{self.stop_sec}"


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """Means over the kept segments that were decoded again, dB."""

    rows: int
    mel_db: float
    level_db: float
    worst: tuple[Entry, ...] = ()  # by distance from their audio, largest first


@dataclass(frozen=True, slots=True)
class Summary:
    """`total.samples` is the audio of the recordings; `kept` and `rejected` are that of their rows."""

    sample_rate_hz: int  # of every sample count here: the manifests' own, or a common multiple where they differ
    stages: tuple[str, ...]
    recordings: tuple[LabelTotal, ...]  # by status, every status that occurs; rows are recordings
    total: Amount
    kept: Amount
    rejected: Amount
    funnel: tuple[RejectionTotal, ...]
    channels: tuple[LabelTotal, ...]
    speakers: tuple[LabelTotal, ...]  # "channel / speaker", or the speaker alone where ids are unique in the corpus
    people: int  # of the kept rows, as `split.speaker_scope` defines them; without rows that have no speaker_id
    labels: Mapping[str, tuple[LabelTotal, ...]]  # by the name of every label but speaker_id
    splits: tuple[LabelTotal, ...]
    durations: tuple[DurationBin, ...]
    text_characters: int  # of the kept rows
    neutts_dropped: int  # kept rows that NeuTTS's own filter drops
    neutts_reasons: tuple[tuple[str, int], ...]  # a row may have several
    roundtrip: RoundTrip | None
    agreement: tuple[int, float] | None  # rows that the codec's plain path encoded too, and the share of equal codes
    codecs: tuple[Mapping[str, Any], ...]  # one, unless partitions were encoded differently
    parameter_sets: tuple[ParameterSet, ...]  # one, unless partitions were built with different parameters

    @property
    def recording_count(self) -> int:
        return sum(tally.rows for tally in self.recordings)

    @property
    def totals(self) -> dict[str, Any]:
        """The totals as JSON values; seconds are rounded to the millisecond."""
        return {
            "recordings": self.recording_count,
            "recordings_by_status": {tally.label: tally.rows for tally in self.recordings},
            "rows_kept": self.kept.rows,
            "rows_rejected": self.rejected.rows,
            "seconds_in": round(self.total.seconds, 3),
            "seconds_kept": round(self.kept.seconds, 3),
            "seconds_rejected": round(self.rejected.seconds, 3),
            "speakers": self.people,
        }

    @property
    def unaccounted_samples(self) -> int:
        """0, unless a manifest is wrong or incomplete."""
        return self.total.samples - self.kept.samples - self.rejected.samples

    @property
    def has_codes(self) -> bool:
        return bool(self.codecs)

    @property
    def stand_in(self) -> bool:
        """Whether any codes are of a stand-in codec."""
        return any(codec.get("stand_in") for codec in self.codecs)


def format_duration(seconds: float) -> str:
    """A duration as text.

    >>> format_duration(7.25), format_duration(75), format_duration(7_500)
    ('7.2 s', '1 min 15 s', '2 h 05 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02d} min"


def summarise(manifests: Sequence[Manifest], settings: Settings) -> Summary:
    """Sum up manifests of any stage, one per partition. Linear in their rows."""
    rate = math.lcm(*(manifest.sample_rate_hz for manifest in manifests))
    display_name, scope = settings.display_name, settings.split.speaker_scope
    counter = _RowCounter(scope)
    for manifest in manifests:
        channel = PartitionKey.parse(manifest.partition).channel
        counter.add(manifest, channel, rate // manifest.sample_rate_hz)
    # Rows with equal labels are counted together; the totals of each label are sums of these.
    profiles = counter.kept

    def by(
        label: Callable[[_Profile], Hashable], name: Callable[[Any], str] = _label_or_default
    ) -> tuple[LabelTotal, ...]:
        folded = _Sums()
        for profile, (rows, samples) in profiles.items():
            folded.add(label(profile), rows, samples)
        return _tallies(folded, name, rate)

    has_splits = any(split for *_, split in profiles)
    reasons: Counter[str] = Counter()
    for drop, rows in counter.neutts.items():
        reasons.update(dict.fromkeys(drop.split(","), rows))
    kept, rejected = profiles.total(rate), counter.rejected.total(rate)
    return Summary(
        sample_rate_hz=rate,
        stages=tuple(sorted({manifest.stage for manifest in manifests})),
        recordings=tuple(
            LabelTotal(*counter.statuses[status], rate, status)
            for status in dict.fromkeys((*_STATUSES, *sorted(counter.statuses)))
            if status in counter.statuses
        ),
        total=Amount(kept.rows + rejected.rows, counter.statuses.total(rate).samples, rate),
        kept=kept,
        rejected=rejected,
        funnel=_funnel(counter.rejected, rate),
        channels=by(lambda profile: profile[0], display_name),
        speakers=by(lambda profile: profile[1])
        if scope == "corpus"
        else by(lambda profile: profile[:2], lambda key: f"{display_name(key[0])} / {_label_or_default(key[1])}"),
        people=len(counter.people),
        labels={name: by(itemgetter(1 + place)) for place, name in enumerate(LABEL_NAMES) if name != "speaker_id"},
        splits=by(itemgetter(-1)) if has_splits else (),
        durations=_durations(counter.durations, rate),
        text_characters=counter.text_characters,
        neutts_dropped=sum(counter.neutts.values()),
        neutts_reasons=tuple(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        roundtrip=_roundtrip(counter.roundtrips),
        agreement=_agreement(counter.guarded),
        codecs=_codecs(manifests),
        parameter_sets=parameter_sets(manifests),
    )


_Profile = tuple[str, ...]  # channel slug, the labels in their order (speaker_id is the first), split


class _Sums(dict[Any, tuple[int, int]]):
    """(rows, samples) by key."""

    def add(self, key: Hashable, rows: int, samples: int) -> None:
        before = self.get(key, (0, 0))
        self[key] = (before[0] + rows, before[1] + samples)

    def total(self, sample_rate_hz: int) -> Amount:
        return Amount(
            sum(rows for rows, _ in self.values()), sum(samples for _, samples in self.values()), sample_rate_hz
        )


class _RowCounter:
    """One pass over all rows."""

    def __init__(self, scope: SpeakerScope) -> None:
        self._scope = scope
        self.people: set[tuple[str, ...]] = set()
        self.statuses = _Sums()
        self.kept = _Sums()  # by profile
        self.rejected = _Sums()  # by (stage, reason)
        self.durations = _Sums()  # by whole second
        self.neutts: Counter[str] = Counter()
        self.roundtrips: list[Entry] = []
        self.guarded: list[Entry] = []
        self.text_characters = 0

    def add(self, manifest: Manifest, channel: str, scale: int) -> None:
        for recording in manifest.recordings:
            self.statuses.add(recording.status, 1, recording.sample_count * scale)
        for entry in manifest.entries:
            samples = entry.sample_count * scale
            if not entry.kept:
                self.rejected.add((entry.stage, entry.reason), 1, samples)
                continue
            profile = (channel, *_get_labels(entry), entry.split)
            self.kept.add(profile, 1, samples)
            self.durations.add(min(entry.sample_count // manifest.sample_rate_hz, _LAST_BIN_SEC), 1, samples)
            self.text_characters += len(entry.text)
            if entry.speaker_id:
                self.people.add(speaker_identity(self._scope, channel, entry.audio_id, entry.speaker_id))
            if entry.neutts_drop:
                self.neutts[entry.neutts_drop] += 1
            if entry.roundtrip_mel_db is not None:
                self.roundtrips.append(entry)
            if entry.agreement is not None:
                self.guarded.append(entry)


def _label_or_default(label: str) -> str:
    return label or NO_LABEL


def _tallies(sums: _Sums, name: Callable[[Any], str], rate: int) -> tuple[LabelTotal, ...]:
    """Totals by label, largest amount of audio first."""
    tallies = (LabelTotal(rows, samples, rate, name(key)) for key, (rows, samples) in sums.items())
    return tuple(sorted(tallies, key=lambda tally: (-tally.samples, -tally.rows, tally.label)))


def _funnel(rejected: _Sums, rate: int) -> tuple[RejectionTotal, ...]:
    """Stages in the pipeline's order; within a stage, the largest amount of audio first."""
    rank = defaultdict(lambda: len(REJECTION_STAGES), {stage: i for i, stage in enumerate(REJECTION_STAGES)})
    steps = (RejectionTotal(rows, samples, rate, *key) for key, (rows, samples) in rejected.items())
    return tuple(sorted(steps, key=lambda step: (rank[step.stage], step.stage, -step.samples, -step.rows, step.reason)))


def _durations(sums: _Sums, rate: int) -> tuple[DurationBin, ...]:
    """One bin per second from the shortest to the longest kept row, including empty bins."""
    if not sums:
        return ()
    return tuple(
        DurationBin(*sums.get(start, (0, 0)), rate, start, start + 1 if start < _LAST_BIN_SEC else None)
        for start in range(min(sums), max(sums) + 1)
    )


def _roundtrip(entries: Sequence[Entry]) -> RoundTrip | None:
    if not entries:
        return None
    return RoundTrip(
        rows=len(entries),
        mel_db=_mean(entry.roundtrip_mel_db for entry in entries),
        level_db=_mean(entry.roundtrip_level_db for entry in entries),
        worst=tuple(sorted(entries, key=lambda entry: (-(entry.roundtrip_mel_db or 0.0), entry.key))[:_MAX_WORST]),
    )


def _agreement(entries: Sequence[Entry]) -> tuple[int, float] | None:
    codes = sum(entry.code_count for entry in entries)
    equal = math.fsum((entry.agreement or 0.0) * entry.code_count for entry in entries)
    return (len(entries), equal / codes if codes else 1.0) if entries else None


def _mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else 0.0


def _codecs(manifests: Iterable[Manifest]) -> tuple[Mapping[str, Any], ...]:
    """The distinct codecs of the codes."""
    found: list[Mapping[str, Any]] = []
    for manifest in manifests:
        given = manifest.parameters
        codec = {name: given[name] for name in _CODEC_PARAMETERS if name in given} if given.get("codec") else {}
        if codec and codec not in found:
            found.append(codec)
    return tuple(found)
