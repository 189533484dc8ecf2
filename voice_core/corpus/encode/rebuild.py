"""Rebuild evicted coded files, byte for byte, from the dataset's rows or by encoding the segment files again."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

from voice_core.audio.pcm import to_float
from voice_core.codecs.base import Codec, Codes
from voice_core.corpus.evicted import read_evicted
from voice_core.corpus.names import CODED, SEGMENTS
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
from voice_core.layout import PartitionKey
from voice_core.settings import Settings
from voice_core.storage.store import Store


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
