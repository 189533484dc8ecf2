"""The stages of one partition in a plan: what cutting, encoding and writing would do.

Reads manifests and listings; `planning` puts the partitions together.
"""

import dataclasses
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from voice_core.codecs.base import Codec
from voice_core.corpus.dataset import pairs, rows_stage
from voice_core.corpus.dataset.pairs import PairsReport
from voice_core.corpus.dataset.splits import Splits, Spoken
from voice_core.corpus.encode import encode_stage
from voice_core.corpus.ingest.batches import Batch
from voice_core.corpus.names import CODED, SEGMENTS
from voice_core.corpus.plan.estimates import Averages, Figure, codes_bytes
from voice_core.corpus.plan.expected import NOTHING_CUT, Fresh, Usual, cutting, fresh_of
from voice_core.corpus.plan.forecast import Foresight, NewSegment
from voice_core.corpus.plan.rebuilds import Restoration, Sources, coded_again, segments_again
from voice_core.corpus.plan.work import PartitionPlan, StageWork
from voice_core.corpus.status import PartitionStatus
from voice_core.layout import PartitionKey, manifest_key, stage_prefix
from voice_core.settings import Settings
from voice_core.stages.commit import intact_keys
from voice_core.stages.evicted import FreedFiles, read_freed
from voice_core.stages.manifest import Entry, Manifest, read_manifest
from voice_core.storage.store import Store


@dataclass(slots=True)
class Case:
    """One partition on its way through the stages. `entries` are the rows of its segments as far as they are known."""

    status: PartitionStatus
    batch: Batch  # as the next snapshot will describe it
    plan: PartitionPlan
    entries: Sequence[Entry] = field(default=(), repr=False)
    fresh: Fresh = NOTHING_CUT
    new: tuple[NewSegment, ...] = field(default=(), repr=False)  # lines that would be cut, as far as they were read
    known: bool = True  # whether `entries` are all there will be
    recut: bool = False  # whether the segments' manifest will be another
    changes: bool = False  # whether the manifest that rows are made of will be another
    coded: Manifest | None = None
    rows: Manifest | None = None
    pairs: PairsReport | None = None
    ready: Sequence[Entry] = ()  # rows of coded files that stand

    @property
    def partition(self) -> PartitionKey:
        return self.status.partition

    def spoken(self) -> list[Spoken]:
        """What the splits are dealt by: kept rows, and lines that may be kept."""
        channel = self.partition.channel
        rows = [Spoken(channel, item.audio_id, item.speaker_id, item.text) for item in self.entries if item.kept]
        return rows + [Spoken(channel, new.audio_id, new.speaker_id, new.text) for new in self.new if new.chance]

    def add(self, **parts: StageWork | Figure | bool) -> None:
        self.plan = dataclasses.replace(self.plan, **parts)  # type: ignore[arg-type]

    def restore(self, what: Restoration) -> None:
        plan = self.plan
        self.add(
            restored=plan.restored + what.files,
            restored_decode=plan.restored_decode + what.decode,
            restored_encode=plan.restored_encode + what.encode,
        )


def size_of(files: Iterable[dict[str, str | int]]) -> int:
    return sum(int(item["size_bytes"]) for item in files)


def plan_cutting(work: Store, item: PartitionStatus, foresight: Foresight | None, common: Usual) -> Case:
    """The stage "segments"."""
    new = sum(recording.audio is None and recording.adopted is None for recording in item.batch.recordings)
    plan = PartitionPlan(item.partition, len(item.batch.recordings), new)
    if foresight is None:
        return Case(item, item.batch, plan, item.manifest.entries if item.manifest else ())
    made = cutting(foresight, common)
    written = Figure(made.fresh.size_bytes, exact=False)
    freed = read_freed(work, SEGMENTS, item.partition)
    standing = sum(entry.size_bytes for entry in foresight.standing if entry.key and entry.key not in freed)
    before = sum(_there(work, SEGMENTS, item.partition).values())
    case = Case(
        item,
        foresight.batch,
        plan,
        foresight.standing,
        made.fresh,
        tuple(new for opened in foresight.opened for new in opened.new),
        foresight.known,
        recut=foresight.changed,
        changes=foresight.changed,
    )
    stored = Figure(standing - before) + written
    decode = StageWork(made.decoded, made.decoded_sec, made.raw_bytes, written, written, stored)
    case.add(decode=decode, cut=made.cut)
    return case


def _there(work: Store, stage: str, partition: PartitionKey) -> dict[str, int]:
    """Sizes by key of a stage's files, without its manifest."""
    found = {item.key: item.size for item in work.listing(stage_prefix(stage, partition))}
    found.pop(manifest_key(stage, partition), None)
    return found


def plan_encoding(work: Store, case: Case, codec: Codec | None, settings: Settings) -> None:
    """The stage "coded"."""
    if codec is None:
        return
    segments, partition = case.status.manifest, case.partition
    if not case.changes and case.status.coded.settled:
        return
    case.coded = read_manifest(work, CODED, partition)
    if not case.changes and segments is not None and encode_stage.is_current(segments, case.coded, codec, settings):
        return
    case.changes = True
    intact = intact_keys(work, case.coded, verify=False)
    ready, todo = encode_stage.divide(case.entries, case.coded, intact, codec, settings)
    case.ready = ready
    made_by = (codec.name, codec.revision)
    with_codes = {
        item.audio_id
        for item in case.batch.recordings
        if item.adopted and (item.adopted.codec, item.adopted.revision) == made_by
    }
    plain = [entry for entry in todo if entry.audio_id not in with_codes]
    size = Figure(sum(entry.size_bytes for entry in todo)) + Figure(case.fresh.kept_bytes, exact=False)
    samples = [_samples(entry, codec, settings) for entry in todo]
    codes = Figure(codes_bytes(sum(map(codec.code_count, samples))))
    codes += Figure(codes_bytes(case.fresh.kept_sec * codec.codes_per_sec), exact=False)
    seconds = Figure(math.fsum(entry.duration_sec or 0.0 for entry in plain))
    freed = read_freed(work, CODED, partition)
    standing = sum(entry.size_bytes for entry in ready if entry.key and entry.key not in freed)
    there = _there(work, CODED, partition)
    written = size + codes
    case.add(
        encode=StageWork(
            items=Figure(len(plain)) + Figure(case.fresh.kept, exact=False),
            audio_sec=seconds + Figure(case.fresh.kept_sec, exact=False),
            work_read=size + written.times(2),  # two checks read what was written
            work_written=written,
            stored=Figure(standing - sum(there.values())) + written,
        )
    )
    away = read_freed(work, SEGMENTS, partition)
    wanted = [entry for entry in todo if entry.key in away]
    if wanted:
        case.restore(segments_again(wanted, _sources(work, case, there, settings), settings.cut.sample_rate_hz))


def _samples(entry: Entry, codec: Codec, settings: Settings) -> int:
    """At the codec's rate, as resampling rounds."""
    rate = settings.cut.sample_rate_hz
    return -(-round((entry.duration_sec or 0.0) * rate) * codec.input_sample_rate_hz // rate)


def _sources(work: Store, case: Case, coded: Collection[str], settings: Settings) -> Sources:
    rows = _read_rows(work, case, settings)
    freed = FreedFiles(work)
    there = rows is not None and not any(freed.holds(*file) for file in rows_stage.parquet_files(rows))
    names = {(entry.audio_id, entry.index) for entry in rows.kept()} if rows is not None and there else set()
    return Sources(coded, names, {item.audio_id: item for item in case.batch.recordings})


def _read_rows(work: Store, case: Case, settings: Settings) -> Manifest | None:
    if case.rows is None:
        case.rows = rows_stage.read_dataset_manifest(work, case.partition, settings, lazily=True)
    return case.rows


def plan_writing(
    work: Store,
    case: Case,
    codec: Codec | None,
    settings: Settings,
    dealt: Splits,
    facts: Averages,
    *,
    sure: bool,
) -> None:
    """The stages "dataset" and "pairs"."""
    rows = _read_rows(work, case, settings)
    case.pairs = pairs.read_pairs(work, case.partition, settings)
    source = case.status.manifest
    if codec is not None and not case.changes:
        source = case.coded or read_manifest(work, CODED, case.partition, lazily=True)
    stands = not case.changes and source is not None and rows_stage.is_current(source, rows, dealt, settings)
    paired = rows is not None and case.pairs is not None and case.pairs.inputs == pairs.stage_inputs(rows, settings)
    freed = FreedFiles(work)
    if stands and paired:
        return
    if stands and rows is not None and not any(freed.holds(*file) for file in rows_stage.parquet_files(rows)):
        case.add(pairs_written=True)
        return
    _write_rows(work, case, codec, settings, dealt, facts, source, sure=sure)


def _write_rows(
    work: Store,
    case: Case,
    codec: Codec | None,
    settings: Settings,
    dealt: Splits,
    facts: Averages,
    source: Manifest | None,
    *,
    sure: bool,
) -> None:
    channel = case.partition.channel
    entries = case.entries if case.changes or source is None else source.entries
    kept = [entry for entry in entries if entry.kept and not dealt.leaks(dealt.of(channel, entry.audio_id), entry.text)]
    twice = (new for new in case.new if dealt.leaks(dealt.of(channel, new.audio_id), new.text))
    fresh = case.fresh + sum(map(fresh_of, twice), NOTHING_CUT).times(-1)
    count = Figure(len(kept), sure) + Figure(fresh.kept, exact=False)
    seconds = Figure(math.fsum(entry.duration_sec or 0.0 for entry in kept), sure) + Figure(fresh.kept_sec, exact=False)
    known: float = sum(entry.size_bytes for entry in entries if entry.kept)
    if codec is not None and case.changes:  # `entries` are the segments': their codes come on top
        known += sum(codes_bytes(codec.code_count(_samples(entry, codec, settings))) for entry in entries if entry.kept)
    codes = codes_bytes(fresh.kept_sec * codec.codes_per_sec) if codec is not None else 0.0
    read = Figure(known, sure) + Figure(fresh.kept_bytes + codes, exact=False)
    own = case.rows if case.rows is not None and case.rows.complete else None
    parquet = seconds.times(_row_bytes(own) or facts.row_bytes_per_sec, exact=False)
    freed = FreedFiles(work)
    old = _lying(freed, own.parameters.get("files", []) if own is not None else [])
    case.add(
        rows=StageWork(count, seconds, work_read=read + parquet, work_written=parquet, stored=parquet + Figure(-old)),
        rows_written=True,
    )
    _write_pairs(case, count, facts, freed)
    if codec is not None:
        _coded_back(work, case, entries, settings)


def _lying(freed: FreedFiles, files: Iterable[dict[str, str | int]]) -> int:
    """Bytes of those files that were not freed."""
    return size_of(item for item in files if not freed.holds(str(item["key"]), str(item["sha256"])))


def _row_bytes(rows: Manifest | None) -> float:
    """Parquet a second of this partition's own rows; 0 where there are none."""
    seconds = math.fsum(entry.duration_sec or 0.0 for entry in rows.kept()) if rows is not None else 0.0
    return size_of(rows.parameters.get("files", [])) / seconds if rows is not None and seconds else 0.0


def _write_pairs(case: Case, rows: Figure, facts: Averages, freed: FreedFiles) -> None:
    share, size = facts.pairs_per_row, facts.pair_bytes
    old, before = 0, case.rows
    if case.pairs is not None:
        old = _lying(freed, case.pairs.files)
        if case.pairs.pairs and before is not None and before.complete and before.kept():
            share = case.pairs.pairs / len(before.kept())
            size = size_of(case.pairs.files) / case.pairs.pairs
    count = rows.times(share, exact=False)
    written = count.times(size)
    case.add(pairs=StageWork(count, work_written=written, stored=written + Figure(-old)), pairs_written=True)


def _coded_back(work: Store, case: Case, entries: Sequence[Entry], settings: Settings) -> None:
    """Coded files that were freed, and are needed to write rows."""
    away = read_freed(work, CODED, case.partition)
    if not away:
        return
    if case.changes:
        wanted = [entry for entry in case.ready if entry.kept and entry.key in away]
    else:
        wanted = [entry for entry in entries if entry.kept and entry.key in away]
    if wanted:
        manifest = case.status.manifest
        segments = {(entry.audio_id, entry.index): entry for entry in (manifest.entries if manifest else ())}
        gone = read_freed(work, SEGMENTS, case.partition)
        coded = _there(work, CODED, case.partition)
        sources = _sources(work, case, coded, settings)
        case.restore(coded_again(wanted, segments, gone, sources, settings.cut.sample_rate_hz))
