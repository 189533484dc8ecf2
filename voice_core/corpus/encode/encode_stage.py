"""The encode stage: segment files → the same files with codes, and their manifest.

Evicted coded files are rebuilt byte for byte, from the dataset's rows or by encoding the segment files again.
"""

import dataclasses
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from voice_core.audio.pcm import to_float
from voice_core.codecs.base import Codec, Codes
from voice_core.compute import progress
from voice_core.corpus.encode.code_checks import ROUNDTRIP_VERSION
from voice_core.corpus.encode.segment_encoder import (
    CODING_VERSION,
    OUT_OF_MEMORY,
    coded_entry,
    encode_segments,
    has_due_measures,
    select_guard_segments,
)
from voice_core.corpus.evicted import read_evicted
from voice_core.corpus.ingest.batches import read_batch
from voice_core.corpus.manifest import Entry, Manifest, read_complete_manifest, read_manifest
from voice_core.corpus.manifest_commit import Checkpoint, commit_stage, unchanged_files
from voice_core.corpus.names import CODED, SEGMENTS
from voice_core.corpus.presence import intact_keys
from voice_core.corpus.segment.rebuild import (
    ExpectedHashes,
    RebuildContext,
    RebuildSources,
    load_segments,
    read_from_rows,
    rebuild_files,
    rebuild_segments,
    write_matching,
)
from voice_core.corpus.segment.segment_files import dump_segment
from voice_core.fingerprint import fingerprint
from voice_core.layout import PartitionKey, manifest_key, stage_prefix
from voice_core.settings import Settings
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.store import Store

__all__ = [
    "CODED",
    "CODE_VERSION",
    "CodesReport",
    "build_codes",
    "is_current",
    "parameters",
    "plan_codes",
    "rebuild_evicted",
    "stage_inputs",
]

CODE_VERSION = f"code{CODING_VERSION}-roundtrip{ROUNDTRIP_VERSION}"
_RETRIED_REASONS = ("segment_missing", "segment_damaged", "not_written", OUT_OF_MEMORY)


@dataclass(frozen=True, slots=True)
class CodesReport:
    """What one run of the stage did."""

    manifest: Manifest
    segments_encoded: int
    encoded_sec: float
    wall_sec: float  # with the codec ready: without waiting for a GPU and loading weights
    device: str = ""  # the codec's device; "" if nothing was encoded
    rechecked: int = 0  # clips encoded again by the codec's reference path: a code was near a boundary
    unchanged_files: Mapping[str, int] = field(default_factory=dict, repr=False)  # size in bytes by key


def parameters(codec: Codec, settings: Settings) -> dict[str, Any]:
    """The parameters that the codes depend on, as the manifest records them."""
    return {
        "codec": codec.name,
        "revision": codec.revision,
        "stand_in": codec.stand_in,
        "input_sample_rate_hz": codec.input_sample_rate_hz,
        "output_sample_rate_hz": codec.output_sample_rate_hz,
        "codes_per_sec": codec.codes_per_sec,
        "codebook_size": codec.codebook_size,
        "roundtrip_share": settings.roundtrip_share,
        "guard_share": settings.guard_share,
        "code": CODE_VERSION,
    }


def stage_inputs(segments: Manifest, codec: Codec, settings: Settings) -> str:
    return fingerprint(segments.data_version, parameters(codec, settings))


def is_current(segments: Manifest, coded: Manifest | None, codec: Codec, settings: Settings) -> bool:
    """Whether a run would produce the committed codes again."""
    return coded is not None and coded.complete and coded.inputs == stage_inputs(segments, codec, settings)


def plan_codes(
    segments: Sequence[Entry], coded: Manifest | None, intact: Collection[str], codec: Codec, settings: Settings
) -> tuple[list[Entry], list[Entry]]:
    """The rows of the coded manifest that need no encoding, and the segments to encode. Pure.

    `coded` is the committed manifest; `intact` are the keys of its intact files.
    """
    earlier = {
        (entry.key, entry.fingerprint): entry for entry in (coded.entries if coded else ()) if entry.key in intact
    }
    targets = [coded_entry(entry, codec) if entry.kept else _rejected_row(entry) for entry in segments]
    existing = [earlier.get((target.key, target.fingerprint)) if target.kept else None for target in targets]
    guards = select_guard_segments(segments, codec, settings, filter(None, existing))
    ready: list[Entry] = []
    todo: list[Entry] = []
    for entry, target, known in zip(segments, targets, existing, strict=True):
        if known is not None and not has_due_measures(known, entry, settings, guards):
            known = None
        if known is not None:  # verdict and measures of the segment, with the earlier codes
            ready.append(_copy_codes(target, known))
        elif entry.kept:
            todo.append(entry)
        else:
            ready.append(target)
    return ready, todo


def build_codes(
    work: Store,
    partition: PartitionKey,
    codec: Codec,
    settings: Settings,
    *,
    verify: bool = False,
    rebuild_sources: RebuildSources | None = None,
    on_commit: Callable[[Manifest], None] = lambda manifest: None,
) -> CodesReport:
    """Encode the kept segments that have no current codes, and commit the manifest.

    With `verify`, files that do not have their committed hash are encoded again too. Evicted segment files that are
    needed are rebuilt from `rebuild_sources`. `on_commit` is called with the committed manifest while the codec is
    still loaded. Waits while another process works on the partition.
    """
    with hold_lock(work, str(partition)) as work:
        return _build_codes(work, partition, codec, settings, verify, rebuild_sources, on_commit)


def _build_codes(
    work: Store,
    partition: PartitionKey,
    codec: Codec,
    settings: Settings,
    verify: bool,
    rebuild_sources: RebuildSources | None,
    on_commit: Callable[[Manifest], None],
) -> CodesReport:
    segments = read_complete_manifest(work, SEGMENTS, partition)
    old = read_manifest(work, CODED, partition)
    wanted = parameters(codec, settings)
    draft = dataclasses.replace(
        segments,
        stage=CODED,
        inputs=stage_inputs(segments, codec, settings),
        parameters={**segments.parameters, **wanted},
    )
    there = {item.key for item in work.listing(stage_prefix(CODED, partition))}
    there |= read_evicted(work, CODED, partition).keys()
    ready, todo = plan_codes(segments.entries, old, intact_keys(work, old, verify=verify), codec, settings)
    rebuild_segments(work, rebuild_sources, partition, settings, [entry.key for entry in todo])

    checkpoint = Checkpoint(work, dataclasses.replace(draft, entries=tuple(ready)))
    touched = (
        bool(todo)
        or old is None
        or {entry.key for entry in ready if entry.key} != there - {manifest_key(CODED, partition)}
    )
    total_sec = sum(entry.duration_sec or 0.0 for entry in todo)
    with_codes = _find_adopted_codes(work, partition, codec)
    encoded: list[Entry] = []
    device = ""
    with (
        codec.ready(f"encoding {partition}") if todo else nullcontext(),
        progress.track(f"encoding {partition}", total_sec / 60, "minutes") as bar,
    ):
        started, rechecked = time.monotonic(), codec.rechecked
        if todo:
            device = codec.device
        if touched:  # not before the GPU is available: the committed files stay usable until then
            checkpoint.begin()
        for done in encode_segments(
            work, todo, codec, settings, with_codes, select_guard_segments(segments.entries, codec, settings, ready)
        ):
            encoded += done.encoded
            ready.extend(done.rows)
            checkpoint.add(done.rows)
            bar.advance(done.duration_sec / 60)
        again = any(entry.reason in _RETRIED_REASONS for entry in ready)
        draft = dataclasses.replace(draft, inputs="" if again else draft.inputs, entries=tuple(ready))
        manifest = commit_stage(work, draft, sweep=touched)
        wall_sec = time.monotonic() - started
        on_commit(manifest)
    encoded_sec = sum(entry.duration_sec or 0.0 for entry in encoded)
    unread = unchanged_files(old, manifest, verify=verify)
    return CodesReport(manifest, len(encoded), encoded_sec, wall_sec, device, codec.rechecked - rechecked, unread)


def _rejected_row(segment: Entry) -> Entry:
    """The row of a rejected segment: it has no coded file."""
    return dataclasses.replace(segment, key="", sha256="", size_bytes=0)


def _copy_codes(target: Entry, coded: Entry) -> Entry:
    return dataclasses.replace(
        target,
        sha256=coded.sha256,
        size_bytes=coded.size_bytes,
        code_count=coded.code_count,
        distinct_codes=coded.distinct_codes,
        roundtrip_mel_db=coded.roundtrip_mel_db,
        roundtrip_level_db=coded.roundtrip_level_db,
        agreement=coded.agreement,
    )


def _find_adopted_codes(work: Store, partition: PartitionKey, codec: Codec) -> set[str]:
    """The adopted recordings whose segment files contain codes of this codec and revision."""
    adopted = {item.audio_id: item.adopted for item in read_batch(work, partition).recordings if item.adopted}
    made_by = (codec.name, codec.revision)
    return {audio_id for audio_id, origin in adopted.items() if (origin.codec, origin.revision) == made_by}


def rebuild_evicted(
    work: Store,
    rebuild_sources: RebuildSources | None,
    stage: str,
    partition: PartitionKey,
    settings: Settings,
    keys: Iterable[str],
) -> int:
    """Rebuild the evicted files among `keys` of the stage "segments" or "coded"; as `rebuild_files`."""
    if stage == SEGMENTS:
        return rebuild_segments(work, rebuild_sources, partition, settings, keys)
    return rebuild_files(work, rebuild_sources, stage, partition, settings, keys, _make_coded)


def _make_coded(context: RebuildContext, wanted: ExpectedHashes) -> set[str]:
    remaining = write_matching(context, wanted, read_from_rows(context, wanted, with_codes=True))
    codec = context.sources.codec() if remaining else None
    if codec is None:
        return set()
    sources = {SEGMENTS + key.removeprefix(CODED): key for key in remaining}
    rebuild_segments(context.work, context.sources, context.partition, context.settings, sources)
    with codec.ready(f"encoding freed files of {context.partition} again"):
        write_matching(context, remaining, _encode_again(context, codec, sources))
    still_evicted = read_evicted(context.work, SEGMENTS, context.partition)
    return {key for source, key in sources.items() if source in still_evicted}


def _encode_again(context: RebuildContext, codec: Codec, sources: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Encode segment files one by one. `sources` maps the key of each segment file to the key of its coded file."""
    rate = context.settings.cut.sample_rate_hz
    for target, segment in load_segments(context, {target: source for source, target in sources.items()}):
        codes: Codes = codec.encode([to_float(segment.audio)], rate)[0]
        yield target, dump_segment(dataclasses.replace(segment, codes=codes))
