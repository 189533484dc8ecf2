"""What a build would do now, without doing it: nothing is written, no audio is read.

The stages' own functions decide (`segmenting.divide`, `plan_lines`, `coding.divide`, `plan_splits`) on what is known.
What is not known before audio is decoded is estimated, and every figure says which it is.
"""

from collections.abc import Collection, Sequence

from voice_core.codecs.base import Codec
from voice_core.corpus.dataset import pairs, rows_stage, splits
from voice_core.corpus.dataset.splits import Splits, Spoken
from voice_core.corpus.ingest.discovery import Discovery
from voice_core.corpus.plan.estimates import Averages, averages
from voice_core.corpus.plan.expected import usual
from voice_core.corpus.plan.forecast import TRANSCRIPTS_READ, foresee_segments
from voice_core.corpus.plan.stages import Case, plan_cutting, plan_encoding, plan_writing, size_of
from voice_core.corpus.plan.work import Plan
from voice_core.corpus.status import Status
from voice_core.layout import PartitionKey
from voice_core.settings import Settings
from voice_core.storage.store import Store

_SAMPLED = 20  # partitions that averages are taken of
_INGEST = ("raw_audio", "segments")


def plan_build(
    raw: Store,
    work: Store,
    discovery: Discovery,
    status: Status,
    codec: Codec | None,
    settings: Settings,
    chosen: Collection[PartitionKey] = (),
    *,
    most_transcripts: int = TRANSCRIPTS_READ,
) -> Plan:
    """What `voice build` would do, from what `discover` and `survey` found; `chosen` limits it to some partitions.

    Raises `LookupError` for a chosen partition that is not there, and `StoreError` where a store cannot be read.
    """
    unknown = set(chosen) - {item.partition for item in status.partitions}
    if unknown:
        raise LookupError(f"there is no partition {', '.join(map(str, sorted(unknown)))}; `voice status` lists them")
    mine = [item for item in status.partitions if not chosen or item.partition in chosen]
    facts = _averages(work, status, settings)
    open_ones = [item.batch for item in mine if any(not item.states[name].settled for name in _INGEST)]
    seen = foresee_segments(
        raw, work, discovery, open_ones, settings, facts.kept_share, most_transcripts=most_transcripts
    )
    common = usual(seen)
    foresights = {foresight.batch.partition: foresight for foresight in seen}
    cases = [plan_cutting(work, item, foresights.get(item.partition), common) for item in mine]
    for case in cases:
        plan_encoding(work, case, codec, settings)
    dealt, anew, sure = _deal(work, status, cases, settings)
    for case in cases:
        plan_writing(work, case, codec, settings, dealt, facts, sure=sure)
    changed = tuple(case.plan for case in cases if not case.plan.empty)
    card = not status.card.settled or any(plan.rows_written or plan.pairs_written for plan in changed)
    recordings = sum(len(case.batch.recordings) for case in cases)
    unread = sum(not item.read for foresight in seen for item in foresight.opened)
    note = (
        f"{unread:,} transcripts were not read: their recordings are taken to be like the {most_transcripts:,} others"
    )
    basis = (*facts.basis, *([note] if unread else ()))
    return Plan(changed, len(cases), recordings, anew, card, basis, tuple(discovery.listing.strays))


def _deal(work: Store, status: Status, cases: Sequence[Case], settings: Settings) -> tuple[Splits, bool, bool]:
    """The splits as they will be; whether they are planned anew; whether that is certain."""
    before = splits.read_splits(work, settings)
    moved = {case.partition: case for case in cases if case.recut}
    if before is not None and not moved and status.splits.settled:
        return before, False, True
    spoken: list[Spoken] = []
    for item in status.partitions:
        case = moved.get(item.partition)
        if case is not None:
            spoken += case.spoken()
        elif item.manifest is not None and item.manifest.complete:
            spoken += splits.spoken_rows([item.manifest])
    before = before or splits.held_out(work, [str(item.partition) for item in status.partitions], settings)
    return splits.plan_splits(spoken, settings.split, before), True, all(case.known for case in moved.values())


def _averages(work: Store, status: Status, settings: Settings) -> Averages:
    finished = [item for item in status.partitions if item.manifest is not None and item.manifest.complete][-_SAMPLED:]
    rows, paired = [], []
    for item in finished:
        manifest = rows_stage.read_dataset_manifest(work, item.partition, settings)
        record = pairs.read_pairs(work, item.partition, settings)
        if manifest is not None and manifest.complete:
            rows.append(manifest)
            if record is not None:
                paired.append((len(manifest.kept()), record.pairs, size_of(record.files)))
    return averages([item.manifest for item in finished if item.manifest is not None], rows, paired)
