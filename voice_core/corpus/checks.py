"""Checks of the voice dataset's stages, each declared with its severity. `voice_assets` assigns them to assets."""

import dataclasses
import itertools
import posixpath
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from voice_core.codecs.base import Codec
from voice_core.corpus.dataset.rows_stage import row_key
from voice_core.corpus.dataset.speakers import speaker_identity
from voice_core.corpus.dataset.text_normalization import hash_text
from voice_core.corpus.encode.code_checks import find_code_problems
from voice_core.corpus.evicted import EvictedFiles
from voice_core.corpus.ingest.batch_model import Batch
from voice_core.corpus.manifest import Entry, Manifest
from voice_core.corpus.names import FULL, NEUTTS, SPLITS, TEST, TRAIN
from voice_core.corpus.segment.segment_files import SegmentFileError, load_segment
from voice_core.language import pluralize
from voice_core.layout import PartitionKey
from voice_core.settings import Settings
from voice_core.stages.checks import CheckOutcome, Findings, check
from voice_core.stages.files import FileState, audit_file, find_sizes
from voice_core.storage.store import ObjectNotFoundError, Store

_LIST_FOLDER_FROM = 50


class InvalidSegmentsError(RuntimeError):
    """Segments failed a blocking check; the message names the check and the first offenders."""


def _describe_entry(entry: Entry) -> str:
    return f"{entry.audio_id} line {entry.index}"


@check()
def seconds_add_up(manifest: Manifest) -> Findings:
    """Duration in equals duration kept plus duration rejected, to the sample.

    Every sample of every recording belongs to exactly one row.
    """
    counted: dict[str, int] = defaultdict(int)
    kept = 0
    for entry in manifest.entries:
        counted[entry.audio_id] += entry.sample_count
        kept += entry.sample_count if entry.kept else 0
    wrong = [
        f"{item.audio_id} has {item.sample_count} samples, but its rows have {counted[item.audio_id]}"
        for item in manifest.recordings
        if item.sample_count != counted[item.audio_id]
    ]
    unknown_recordings = set(counted) - {item.audio_id for item in manifest.recordings}
    wrong += [f"rows of {audio_id}, which is not a recording of this batch" for audio_id in sorted(unknown_recordings)]
    total = sum(item.sample_count for item in manifest.recordings)
    rate = manifest.sample_rate_hz
    return Findings(
        wrong,
        f"{total / rate:.3f} s in = {kept / rate:.3f} s kept + {(total - kept) / rate:.3f} s rejected",
        {"seconds_in": total / rate, "seconds_kept": kept / rate, "seconds_rejected": (total - kept) / rate},
    )


def require_valid_segments(segments: Manifest) -> None:
    """Raise `InvalidSegmentsError` if the segments fail a blocking check, so that no later stage uses them.

    Their files are not read: later stages compare the hash of each file that they read.
    """
    for outcome in (seconds_add_up(segments), texts_present(segments), no_overlap(segments)):
        if not outcome.passed:
            raise InvalidSegmentsError(f"its segments failed the check {outcome.name}: {outcome.message}")


@check()
def files_intact(store: Store, files: Iterable[tuple[str, str]], known: Mapping[str, int] | None = None) -> Findings:
    """Every committed file exists and has its checksum, unless it was freed.

    `files` has keys and SHA-256. Files in `known` (key, size in bytes) were verified before: they are not read again if
    they have this size.
    """
    wanted = dict(files)
    known = known or {}
    freed = EvictedFiles(store)
    there = _sizes(store, [key for key in wanted if key in known])

    def check_file(key: str) -> str | None:
        if key in there and there[key] == known[key]:
            return ""
        found = audit_file(store, key, wanted[key], freed.contains)
        if found.state.counts_as_present:
            return "" if found.state is FileState.INTACT else None
        return found.error or f"{key} is not the file that was committed"

    found = store.map_keys(check_file, wanted)
    freed_count = found.count(None)
    notes = [f"{len(wanted)} files", f"{len(there)} of them by their size" if there else ""]
    looked_at = ", ".join(filter(None, [*notes, f"{freed_count} of them freed" if freed_count else ""]))
    return Findings(
        [problem for problem in found if problem],
        looked_at,
        {"files": len(wanted), "freed": freed_count},
    )


def note_replacement(outcomes: Sequence[CheckOutcome], replaced: Callable[[], bool]) -> list[CheckOutcome]:
    """The outcomes; those that failed say so where the result was `replaced` by another build since it was committed.

    A build that is paused between its commit and its checks looks at files that are not its own.
    """
    if all(outcome.passed for outcome in outcomes) or not replaced():
        return list(outcomes)
    message = "another build has committed a newer result since: run the same command again"
    return [
        outcome if outcome.passed else dataclasses.replace(outcome, message=f"{message} ({outcome.message})")
        for outcome in outcomes
    ]


def _sizes(store: Store, keys: Sequence[str]) -> dict[str, int]:
    """Sizes of the files that are present; many keys are looked up by one listing of their folder."""
    if len(keys) < _LIST_FOLDER_FROM:
        return find_sizes(store, keys)
    wanted = set(keys)
    folder = posixpath.commonpath([posixpath.dirname(key) for key in keys])
    return {info.key: info.size for info in store.listing(f"{folder}/") if info.key in wanted}


@check()
def texts_present(manifest: Manifest) -> Findings:
    """Every kept segment has a text."""
    kept = manifest.kept()
    wrong = [f"{_describe_entry(entry)} has no text" for entry in kept if not entry.text.strip()]
    return Findings(wrong, f"{len(kept)} rows")


@check("warning")
def transcripts_present(batch: Batch) -> Findings:
    """Every recording has a transcript."""
    wrong = [f"{item.audio_id} has no transcript" for item in batch.recordings if not (item.transcript or item.adopted)]
    return Findings(wrong, f"{len(batch.recordings)} recordings")


@check()
def no_overlap(manifest: Manifest) -> Findings:
    """No two segments of a recording share a sample."""
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
    return Findings(wrong, f"{sum(map(len, cut.values()))} segments")


@check("warning")
def recordings_sound(manifest: Manifest) -> Findings:
    """Every recording was decoded completely and has a readable transcript."""
    wrong = [f"{item.audio_id}: {item.status}: {item.message}" for item in manifest.recordings if item.has_problem]
    return Findings(wrong, f"{len(manifest.recordings)} recordings")


@check()
def codes_valid(store: Store, manifest: Manifest, codec: Codec, known: Collection[str] = ()) -> Findings:
    """The number of codes matches the audio; codes are in the codebook and not all equal.

    Files whose keys are `known` were checked before and are skipped.
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
        problems = find_code_problems(segment.codes, len(segment.audio), manifest.sample_rate_hz, codec)
        return [f"{name} has {problem}" for problem in problems]

    offenders = [problem for problems in store.map_keys(check_file, kept) for problem in problems]
    return Findings(offenders, f"{len(kept)} segments" + (", the others before" if known else ""))


@check()
def rows_match(store: Store, manifest: Manifest) -> Findings:
    """The Parquet files hold exactly the kept rows; those for NeuTTS have exactly three columns."""
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
            wrong.append(f"{item['key']} contains a row twice")
        if set(keys) != kept[item["split"]]:
            odd = sorted(set(keys) ^ kept[item["split"]])
            wrong.append(f"{item['key']} and the manifest differ in {pluralize(len(odd), 'row')}, such as {odd[0]}")
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
    return Findings(wrong, f"{len(manifest.kept())} rows")


@check("warning")
def nothing_failed(manifest: Manifest, stage: str) -> Findings:
    """Every kept segment was processed by this stage.

    The next run tries the others again.
    """
    wrong = [
        f"{_describe_entry(e)}: {e.reason}: {e.message}" for e in manifest.entries if e.stage == stage and e.message
    ]
    return Findings(wrong, f"{len(manifest.kept())} rows")


@check()
def splits_do_not_leak(manifests: Iterable[Manifest], settings: Settings) -> Findings:
    """No recording, speaker (within the speaker scope) or text of test is in train."""
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
                scope = settings.split.speaker_scope
                marks.append(("speaker", *speaker_identity(scope, channel, entry.audio_id, entry.speaker_id)))
            for mark in marks:
                sides[entry.split].setdefault(mark, f"{channel}/{_describe_entry(entry)}")
    both = sorted(sides[TRAIN].keys() & sides[TEST].keys())
    wrong = [f"the {mark[0]} of {sides[TEST][mark]} (test) is also that of {sides[TRAIN][mark]}" for mark in both]
    return Findings(wrong, f"{rows} rows")
