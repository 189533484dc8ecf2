"""What must hold of a finished stage. Each check says what it looked at and names the first offenders."""

import itertools
import posixpath
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from voice_core.codecs.base import Codec
from voice_core.corpus.dataset.rows_stage import row_key
from voice_core.corpus.dataset.text_normalization import hash_text
from voice_core.corpus.ingest.batch_model import Batch
from voice_core.corpus.names import FULL, NEUTTS, SPLITS, TEST, TRAIN
from voice_core.corpus.segment.segment_files import SegmentFileError, load_segment
from voice_core.layout import PartitionKey
from voice_core.settings import Settings
from voice_core.stages.check_outcomes import CheckOutcome, make_check_outcome
from voice_core.stages.evicted import EvictedFiles
from voice_core.stages.manifest import Entry, Manifest
from voice_core.storage.store import ObjectNotFoundError, Store

_LIST_FOLDER_FROM = 50


class InvalidSegmentsError(RuntimeError):
    """What was to be built on is not as it must be; the message names the check and the first offenders."""


def _describe_entry(entry: Entry) -> str:
    return f"{entry.audio_id} line {entry.index}"


def seconds_add_up(manifest: Manifest) -> CheckOutcome:
    """Every sample of every recording is answered for by exactly one row."""
    counted: dict[str, int] = defaultdict(int)
    kept = 0
    for entry in manifest.entries:
        counted[entry.audio_id] += entry.sample_count
        kept += entry.sample_count if entry.kept else 0
    wrong = [
        f"{item.audio_id} has {item.sample_count} samples, its rows answer for {counted[item.audio_id]}"
        for item in manifest.recordings
        if item.sample_count != counted[item.audio_id]
    ]
    unknown_recordings = set(counted) - {item.audio_id for item in manifest.recordings}
    wrong += [f"rows of {audio_id}, which is no recording of this batch" for audio_id in sorted(unknown_recordings)]
    total = sum(item.sample_count for item in manifest.recordings)
    rate = manifest.sample_rate_hz
    return make_check_outcome(
        "seconds_add_up",
        wrong,
        f"{total / rate:.3f} s in = {kept / rate:.3f} s kept + {(total - kept) / rate:.3f} s rejected",
        {"seconds_in": total / rate, "seconds_kept": kept / rate, "seconds_rejected": (total - kept) / rate},
    )


def require_valid_segments(segments: Manifest) -> None:
    """Raise `InvalidSegmentsError` for segments that failed a blocking check, so that nothing is built on them.

    All but whether their files are intact: who reads a file compares its hash.
    """
    for outcome in (seconds_add_up(segments), texts_present(segments), no_overlap(segments)):
        if not outcome.passed:
            raise InvalidSegmentsError(f"its segments failed the check {outcome.name}: {outcome.message}")


def files_intact(
    store: Store, files: Iterable[tuple[str, str]], known: Mapping[str, int] | None = None
) -> CheckOutcome:
    """Every file (key, SHA-256) is there and holds what was committed, unless it was freed.

    Those in `known` (key, size in bytes) were looked at before: they are not read again, if they have this size.
    """
    wanted = dict(files)
    known = known or {}
    freed = EvictedFiles(store)
    there = _sizes(store, [key for key in wanted if key in known])

    def check_file(key: str) -> str | None:
        if key in there and there[key] == known[key]:
            return ""
        try:
            return "" if store.hash(key) == wanted[key] else f"{key} is not the file that was committed"
        except ObjectNotFoundError as error:
            return None if freed.contains(key, wanted[key]) else str(error)
        except OSError as error:
            return str(error)

    found = store.map_keys(check_file, wanted)
    freed_count = found.count(None)
    notes = [f"{len(wanted)} files", f"{len(there)} of them by their size" if there else ""]
    looked_at = ", ".join(filter(None, [*notes, f"{freed_count} of them freed" if freed_count else ""]))
    return make_check_outcome(
        "files_intact",
        [problem for problem in found if problem],
        looked_at,
        {"files": len(wanted), "freed": freed_count},
    )


def _sizes(store: Store, keys: Sequence[str]) -> dict[str, int]:
    """The sizes of those that are there: by a listing of their folder where they are many."""
    if len(keys) < _LIST_FOLDER_FROM:
        infos = store.map_keys(store.head, keys)
        return {info.key: info.size for info in infos if info is not None}
    wanted = set(keys)
    folder = posixpath.commonpath([posixpath.dirname(key) for key in keys])
    return {info.key: info.size for info in store.listing(f"{folder}/") if info.key in wanted}


def texts_present(manifest: Manifest) -> CheckOutcome:
    kept = manifest.kept()
    wrong = [f"{_describe_entry(entry)} has no text" for entry in kept if not entry.text.strip()]
    return make_check_outcome("texts_present", wrong, f"{len(kept)} rows")


def transcripts_present(batch: Batch) -> CheckOutcome:
    """A warning that names the recordings that nobody transcribed."""
    wrong = [f"{item.audio_id} has no transcript" for item in batch.recordings if not (item.transcript or item.adopted)]
    return make_check_outcome("transcripts_present", wrong, f"{len(batch.recordings)} recordings", warning=True)


def no_overlap(manifest: Manifest) -> CheckOutcome:
    """Within a recording no two cut segments share a sample."""
    cut: dict[str, list[tuple[int, int, Entry]]] = defaultdict(list)
    for entry in manifest.entries:
        if entry.cut_start is not None and entry.cut_stop is not None:
            cut[entry.audio_id].append((entry.cut_start, entry.cut_stop, entry))
    wrong = []
    for spans in cut.values():
        spans.sort(key=lambda span: span[:2])
        for (_, stop, first), (start, _, second) in itertools.pairwise(spans):
            if start < stop:
                wrong.append(f"{_describe_entry(first)} and line {second.index} share {stop - start} samples")
    return make_check_outcome("no_overlap", wrong, f"{sum(map(len, cut.values()))} segments")


def recordings_sound(manifest: Manifest) -> CheckOutcome:
    """A warning that names each recording that could not be used whole."""
    wrong = [f"{item.audio_id}: {item.status}: {item.message}" for item in manifest.recordings if item.has_problem]
    return make_check_outcome("recordings_sound", wrong, f"{len(manifest.recordings)} recordings", warning=True)


def codes_valid(store: Store, manifest: Manifest, codec: Codec, known: Collection[str] = ()) -> CheckOutcome:
    """Each coded file has as many codes as its audio calls for, within the codebook, and not all the same.

    Files whose keys are `known` were looked at before.
    """
    kept = {entry.key: entry for entry in manifest.kept() if entry.key not in known}
    freed = EvictedFiles(store)

    def check_file(key: str) -> list[str]:
        name = _describe_entry(kept[key])
        try:
            segment = load_segment(store.get(key), key)
        except ObjectNotFoundError as error:
            return [] if freed.contains(key, kept[key].sha256) else [str(error)]
        except (OSError, SegmentFileError) as error:
            return [str(error)]
        wrong = []
        expected_count = codec.code_count(len(segment.audio), manifest.sample_rate_hz)
        if len(segment.codes) != expected_count:
            wrong.append(f"{name} has {len(segment.codes)} codes, its audio calls for {expected_count}")
        if segment.codes.size and (np.min(segment.codes) < 0 or np.max(segment.codes) >= codec.codebook_size):
            wrong.append(f"{name} has codes outside 0 to {codec.codebook_size - 1}")
        if expected_count > 1 and len(np.unique(segment.codes)) < 2:
            wrong.append(f"{name} has one code only")
        return wrong

    offenders = [problem for problems in store.map_keys(check_file, kept) for problem in problems]
    return make_check_outcome(
        "codes_valid", offenders, f"{len(kept)} segments" + (", the others before" if known else "")
    )


def rows_match(store: Store, manifest: Manifest) -> CheckOutcome:
    """The Parquet files hold exactly the rows that the manifest keeps, under one key each."""
    wrong = []
    kept = {split: {row_key(manifest.partition, e) for e in manifest.kept() if e.split == split} for split in SPLITS}
    freed = EvictedFiles(store)
    for item in manifest.parameters["files"]:
        if freed.contains(item["key"], item["sha256"]):
            continue
        with store.open(item["key"]) as reader:
            table = pq.read_table(pa.PythonFile(reader), columns=["__key__"])
            reader.seek(0)
            columns = pq.read_schema(pa.PythonFile(reader)).names
        keys = table["__key__"].to_pylist()
        if len(set(keys)) != len(keys):
            wrong.append(f"{item['key']} names a row twice")
        if set(keys) != kept[item["split"]]:
            odd = sorted(set(keys) ^ kept[item["split"]])
            wrong.append(f"{item['key']} and the manifest disagree over {len(odd)} rows, such as {odd[0]}")
        if item["config"] == NEUTTS and sorted(columns) != ["__key__", "codes", "text"]:
            wrong.append(f"{item['key']} has the columns {', '.join(columns)}")
    written = {(item["config"], item["split"]) for item in manifest.parameters["files"]}
    configs = {config for config, _ in written}
    wrong += [
        f"there is no file of {config} for the {len(keys)} rows of {split}"
        for config in sorted(configs | {FULL})
        for split, keys in kept.items()
        if keys and (config, split) not in written
    ]
    return make_check_outcome("rows_match", wrong, f"{len(manifest.kept())} rows")


def unchanged_outcome(name: str) -> CheckOutcome:
    """The answer of a check where nothing was written since it last passed."""
    return CheckOutcome(name, True, "nothing was written: as it was when last looked at")


def nothing_failed(manifest: Manifest, stage: str) -> CheckOutcome:
    """A warning that names rows which this stage itself had to leave out; the next run tries them again."""
    wrong = [
        f"{_describe_entry(e)}: {e.reason}: {e.message}" for e in manifest.entries if e.stage == stage and e.message
    ]
    return make_check_outcome("nothing_failed", wrong, f"{len(manifest.kept())} rows", warning=True)


def splits_do_not_leak(manifests: Iterable[Manifest], settings: Settings) -> CheckOutcome:
    """No recording, no person (within the speaker scope) and no text of test is in train."""
    sides: dict[str, dict[tuple[str, ...], str]] = {TRAIN: {}, TEST: {}}
    rows = 0
    for manifest in manifests:
        channel = PartitionKey.parse(manifest.partition).channel
        for entry in manifest.kept():
            rows += 1
            marks: list[tuple[str, ...]] = [
                ("recording", channel, entry.audio_id),
                ("text", hash_text(entry.text)),
            ]
            if entry.speaker_id and settings.split.speaker_scope != "recording":
                place = channel if settings.split.speaker_scope == "channel" else ""
                marks.append(("speaker", place, entry.speaker_id))
            for mark in marks:
                sides[entry.split].setdefault(mark, f"{channel}/{_describe_entry(entry)}")
    both = sorted(sides[TRAIN].keys() & sides[TEST].keys())
    wrong = [f"the {mark[0]} of {sides[TEST][mark]} (test) is also that of {sides[TRAIN][mark]}" for mark in both]
    return make_check_outcome("splits_do_not_leak", wrong, f"{rows} rows")
