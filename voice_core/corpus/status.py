"""Which stage of which partition is finished, stale or missing. Reads manifests and listings, never audio.

A stage that is current by its manifest is compared with a listing of its folder, so that a file that is missing or has
another size makes it stale. What is within a file of the right size only `voice audit` and `--verify` see.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from voice_core.codecs.base import Codec
from voice_core.corpus.dataset import card_stage, pairs, rows_stage, splits
from voice_core.corpus.dataset.dataset_record import card_file_records, read_dataset_record
from voice_core.corpus.dataset.summary import Summary, summarise
from voice_core.corpus.encode import encode_stage
from voice_core.corpus.evicted import dataset_stage_name, list_evicted_partitions, read_evicted
from voice_core.corpus.ingest.batch_model import Batch
from voice_core.corpus.ingest.discovery import Discovery
from voice_core.corpus.manifest import Manifest, RecordingOutcome, read_manifest
from voice_core.corpus.names import CODED, SEGMENTS
from voice_core.corpus.presence import check_stage_files, files_from_records
from voice_core.corpus.segment import segment_stage
from voice_core.layout import PartitionKey
from voice_core.settings import Settings
from voice_core.stages.files import compare_sizes, describe_problems
from voice_core.stages.manifest import UnreadableRowsError
from voice_core.storage.store import Store

ASSETS = ("raw_audio", "segments", "coded_segments", "voice_dataset", "voice_pairs")


class StageState(StrEnum):
    MISSING = "missing"
    PARTIAL = "partial"  # a run was interrupted; the next one resumes
    STALE = "stale"
    CURRENT = "current"
    FREED = "freed"  # current, and files of it were deleted on purpose
    SKIPPED = "skipped"  # not part of this configuration

    @property
    def up_to_date(self) -> bool:
        """Whether there is nothing to do."""
        return self in (StageState.CURRENT, StageState.FREED, StageState.SKIPPED)


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    batch: Batch
    manifest: Manifest | None  # of the segments
    latest_complete: Manifest | None  # of the last stage that is finished: what totals are sums of
    raw_audio: StageState
    segments: StageState
    coded: StageState
    dataset: StageState
    pairs: StageState
    reasons: Mapping[str, str] = field(default_factory=dict)  # by the name of the asset, where a listing shows why

    @property
    def partition(self) -> PartitionKey:
        return self.batch.partition

    @property
    def problem_recordings(self) -> tuple[RecordingOutcome, ...]:
        """The recordings that could not be processed completely."""
        return tuple(outcome for outcome in self.manifest.recordings if outcome.has_problem) if self.manifest else ()

    @property
    def states(self) -> dict[str, StageState]:
        """By the name of the asset."""
        states = (self.raw_audio, self.segments, self.coded, self.dataset, self.pairs)
        return dict(zip(ASSETS, states, strict=True))


@dataclass(frozen=True, slots=True)
class BuildStatus:
    partitions: tuple[PartitionStatus, ...]
    splits: StageState
    card: StageState
    card_reason: str = ""

    @property
    def finished(self) -> bool:
        states = [state for item in self.partitions for state in item.states.values()]
        return all(state.up_to_date for state in (*states, self.splits, self.card))

    def summary(self, settings: Settings) -> Summary:
        """What the work root holds: of each partition, the rows of the last stage that is finished."""
        return summarise(
            [item.latest_complete for item in self.partitions if item.latest_complete is not None], settings
        )


def read_status(work: Store, discovery: Discovery, codec: Codec | None, settings: Settings) -> BuildStatus:
    """Compare what is committed with what a build would write now."""
    partitions = {str(batch.partition): batch.partition for batch in discovery.batches}

    def read(name: str) -> _Manifests:
        partition = partitions[name]
        return _Manifests(
            read_manifest(work, SEGMENTS, partition, lazily=True),
            read_manifest(work, CODED, partition, lazily=True) if codec else None,
            rows_stage.read_dataset_manifest(work, partition, settings, lazily=True),
        )

    known = dict(zip(partitions, work.map_keys(read, partitions), strict=True))
    finished = [item.segments for item in known.values() if item.segments is not None and item.segments.complete]
    plan = splits.read_splits(work, settings)
    if plan is None:
        splits_state = StageState.MISSING
    else:
        splits_state = _state(True, True, plan.inputs == splits.splits_inputs(finished, settings))
    rows_place = dataset_stage_name(settings.dataset)
    in_dataset = {item.key: item.size for item in work.listing(f"{rows_place}/")}
    freed = {place: list_evicted_partitions(work, place) for place in (SEGMENTS, CODED, rows_place)}
    batches = {str(batch.partition): batch for batch in discovery.batches}
    changed = set(discovery.changed)

    read_records = work.map_keys(lambda name: pairs.read_pairs(work, partitions[name], settings), batches)
    records = dict(zip(batches, read_records, strict=True))

    def read_partition(name: str) -> PartitionStatus:
        batch, manifests, record = batches[name], known[name], records[name]
        states = _states(work, batch, manifests, record, plan, codec, settings, changed=batch.partition in changed)
        places = ("", SEGMENTS, CODED, rows_place, rows_place)
        away = [batch.partition in freed.get(place, ()) for place in places]
        reasons = _find_missing_files(work, states, manifests, record, in_dataset, away, settings)
        states = [
            StageState.STALE if name in reasons else StageState.FREED if state is StageState.CURRENT and some else state
            for name, state, some in zip(ASSETS, states, away, strict=True)
        ]
        raw, cut, coded, rows, paired = _propagate_staleness(states)
        return PartitionStatus(
            batch, manifests.segments, manifests.latest_complete, raw, cut, coded, rows, paired, reasons
        )

    found = work.map_keys(read_partition, batches)
    finished_rows = {name: item.rows for name, item in known.items() if item.rows is not None and item.rows.complete}
    paired = [record for name in finished_rows if (record := records[name]) is not None]
    commit = read_dataset_record(work, settings)
    card_current, reason = False, ""
    if commit is not None:
        # Pairs that are written after the card change no manifest of the rows, so the files are compared, too.
        files = card_stage.list_dataset_files(list(finished_rows.values()), paired)
        same_rows = commit["inputs"] == card_stage.card_inputs(list(finished_rows.values()), settings)
        card_current = same_rows and commit["files"] == files
        if card_current:
            beside = card_file_records(commit)
            reason = describe_problems(compare_sizes(files_from_records(beside), in_dataset).values()) or (
                "" if beside else "it has no checksums"
            )
    card_state = _state(commit is not None, True, card_current and not reason)
    return BuildStatus(tuple(found), splits_state, card_state, reason)


def _find_missing_files(
    work: Store,
    states: Sequence[StageState],
    known: "_Manifests",
    record: pairs.PairsRecord | None,
    in_dataset: Mapping[str, int],
    away: Sequence[bool],
    settings: Settings,
) -> dict[str, str]:
    """What listings show of the assets that are current by their records. `away`: whether files of it were freed."""
    state = dict(zip(ASSETS, states, strict=True))
    some = dict(zip(ASSETS, away, strict=True))
    found: dict[str, str] = {}
    for name, manifest in (("segments", known.segments), ("coded_segments", known.coded)):
        if state[name] is StageState.CURRENT and manifest is not None:
            try:
                found[name] = check_stage_files(work, manifest, any_evicted=some[name])
            except UnreadableRowsError as error:
                found[name] = str(error)
    partition = PartitionKey.parse(known.rows.partition) if known.rows is not None else None
    freed = (
        read_evicted(work, dataset_stage_name(settings.dataset), partition)
        if partition and some["voice_dataset"]
        else {}
    )
    for name, records in (
        ("voice_dataset", known.rows.parameters.get("files", []) if known.rows is not None else []),
        ("voice_pairs", record.files if record is not None else []),
    ):
        if state[name] is StageState.CURRENT:
            found[name] = describe_problems(compare_sizes(files_from_records(records), in_dataset, freed).values())
    return {name: reason for name, reason in found.items() if reason}


@dataclass(frozen=True, slots=True)
class _Manifests:
    """Of one partition; None where there is none."""

    segments: Manifest | None
    coded: Manifest | None
    rows: Manifest | None

    @property
    def latest_complete(self) -> Manifest | None:
        return rows_stage.latest_complete(self.rows, self.coded, self.segments)


def _states(
    work: Store,
    batch: Batch,
    known: _Manifests,
    record: pairs.PairsRecord | None,
    plan: splits.Splits | None,
    codec: Codec | None,
    settings: Settings,
    *,
    changed: bool,
) -> list[StageState]:
    """Of raw_audio, segments, coded, dataset and pairs."""
    segments, coded, rows = known.segments, known.coded, known.rows
    source = coded if codec else segments
    raw_state = StageState.CURRENT
    if changed:
        fresh = all(item.audio is None and not item.vanished for item in batch.recordings)
        raw_state = StageState.MISSING if fresh else StageState.STALE
    cut = segments is not None and segment_stage.is_current(work, batch, settings, segments)
    coded_state = StageState.SKIPPED
    if codec:
        current = segments is not None and encode_stage.is_current(segments, coded, codec, settings)
        coded_state = _manifest_state(coded, current)
    written = (
        source is not None
        and source.complete
        and plan is not None
        and rows_stage.is_current(source, rows, plan, settings)
    )
    paired = record is not None and rows is not None and record.inputs == pairs.stage_inputs(rows, settings)
    return [
        raw_state,
        _manifest_state(segments, cut),
        coded_state,
        _manifest_state(rows, written),
        _state(record is not None, True, paired),
    ]


def _propagate_staleness(states: Sequence[StageState]) -> list[StageState]:
    """Nothing is current below something that is not."""
    result: list[StageState] = []
    stale = False
    for state in states:
        result.append(StageState.STALE if stale and state in (StageState.CURRENT, StageState.FREED) else state)
        stale = stale or not state.up_to_date
    return result


def _manifest_state(manifest: Manifest | None, current: bool) -> StageState:
    return _state(manifest is not None, manifest is not None and manifest.complete, current)


def _state(there: bool, complete: bool, current: bool) -> StageState:
    if not there:
        return StageState.MISSING
    if not complete:
        return StageState.PARTIAL
    return StageState.CURRENT if current else StageState.STALE
