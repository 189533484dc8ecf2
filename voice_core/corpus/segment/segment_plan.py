"""Plan the segment stage: its parameters and inputs, the rows that are kept, and the recordings to process."""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from voice_core.audio.header import OutOfLimitsError
from voice_core.corpus.ingest.batch_model import Batch, Recording
from voice_core.corpus.labels import ADDED_LABELS
from voice_core.corpus.manifest import Entry, Manifest, RecordingOutcome
from voice_core.corpus.presence import intact_keys
from voice_core.corpus.segment.boundaries import CUTTING_VERSION
from voice_core.corpus.segment.content_hashes import ContentHashes
from voice_core.corpus.segment.cut_task import NO_ROOM, NOT_READ, CutResult
from voice_core.corpus.segment.measures import MEASURES_VERSION
from voice_core.fingerprint import fingerprint
from voice_core.settings import Settings
from voice_core.stages.verdicts import Reject
from voice_core.storage.store import Store

Rows = Mapping[str, Sequence[Entry]]  # by audio_id
CODE_VERSION = f"cut{CUTTING_VERSION}-measure{MEASURES_VERSION}"


def parameters(settings: Settings) -> dict[str, Any]:
    """The settings that this stage's result depends on, as the manifest records them."""
    cut = {**settings.cut.model_dump(), "max_transcript_mb": settings.max_transcript_mb, "code": CODE_VERSION}
    if ADDED_LABELS:  # transcripts are read again once a label is added
        cut["labels"] = list(ADDED_LABELS)
    limits = settings.audio.model_dump(exclude_defaults=True)
    return {
        "cut": {**cut, "audio": limits} if limits else cut,
        "rules": settings.rules.model_dump(),
    }


def same_audio_limits(old: Manifest | None, settings: Settings) -> bool:
    """Whether the recordings of the manifest were decoded within the current limits."""
    return old is not None and old.parameters["cut"].get("audio") == parameters(settings)["cut"].get("audio")


def inputs_unchanged(manifest: Manifest, batch: Batch, contents: ContentHashes, settings: Settings) -> bool:
    """Whether a manifest was made of what the stage would read now; False while the content of some audio is unknown.

    Until 0.1, the fingerprint covered the wording of a message. Such a manifest is compared with its own wording, so
    that it is not written again.
    """
    inputs = stage_inputs(batch, contents, settings)
    return bool(inputs) and (
        manifest.inputs == inputs or manifest.inputs == stage_inputs(batch, contents, settings, worded_by=manifest)
    )


def stage_inputs(
    batch: Batch, contents: ContentHashes, settings: Settings, *, worded_by: Manifest | None = None
) -> str:
    """Fingerprint of everything that the stage depends on; "" while the content of some audio is unknown.

    With `worded_by`, as an earlier version computed it when it wrote that manifest.
    """
    tokens: list[Any] = []
    for recording in batch.recordings:
        audio_sha256 = contents.sha256(recording)
        transcript = recording.transcript
        token: list[Any] = [recording.audio_id]
        if recording.adopted is not None:
            if not recording.adopted.content:
                return ""
            token += ["adopted", recording.adopted.content]
        elif recording.vanished:
            token += ["vanished"]
        elif (broken := recording.broken_limit(settings.audio)) is not None:
            token += ["out_of_limits", *_limit_token(recording, broken, worded_by)]
        elif transcript is None:
            token += ["no_transcript", recording.duration_sec, recording.unreadable]
        elif not recording.transcript_sha256:
            token += ["transcript_too_large", transcript.size]
        elif audio_sha256:
            token += [audio_sha256, transcript.key, recording.transcript_sha256]
        elif contents.bad_transcript_sha256(recording) == recording.transcript_sha256:
            token += ["bad_transcript", recording.transcript_sha256]
        else:
            return ""
        tokens.append(token)
    return fingerprint(parameters(settings), tokens)


def _limit_token(recording: Recording, broken: OutOfLimitsError, worded_by: Manifest | None) -> list[Any]:
    """What the row of a recording outside of the limits depends on; the earlier message, if it said the same."""
    what = (broken.reason, broken.value, broken.threshold)
    if worded_by is not None:
        rows = [row for row in worded_by.entries if row.audio_id == recording.audio_id]
        if [(row.reason, row.value, row.threshold) for row in rows] == [what]:
            return [rows[0].message]
    size = recording.audio.size if recording.audio else 0
    return [*what, recording.info.duration_sec if recording.info else 0.0, size]


def plan_segments(
    batch: Batch, old: Manifest | None, contents: ContentHashes, settings: Settings, rows: Rows, lost: Rows
) -> tuple[dict[str, CutResult], list[Recording]]:
    """The results that are kept, by audio id, and the recordings to process. Pure.

    To process a recording is to read at least its transcript. `rows` and `lost` are the `split_intact_rows` of `old`.
    """
    same_cut = old is not None and old.parameters["cut"] == parameters(settings)["cut"]
    before = {item.audio_id: item for item in old.recordings} if old else {}
    done: dict[str, CutResult] = {}
    todo: list[Recording] = []
    for recording in batch.recordings:
        earlier = before.get(recording.audio_id)
        intact, lost_rows = rows.get(recording.audio_id, []), lost.get(recording.audio_id, [])
        if recording.adopted is not None:
            done[recording.audio_id] = _adopted_result(recording, earlier, intact, lost_rows)
            continue
        kept = _unchanged_outcome(recording, earlier, contents, same_cut, settings) if earlier else None
        if kept is not None and (recording.vanished or not lost_rows):
            done[recording.audio_id] = CutResult(kept, (*intact, *map(_lost_file_entry, lost_rows)))
        else:
            todo.append(recording)
    return done, todo


def split_intact_rows(
    work: Store, old: Manifest | None, *, verify: bool = False
) -> tuple[dict[str, list[Entry]], dict[str, list[Entry]]]:
    """The rows of a manifest by recording: those that are intact, and those whose file is missing or corrupt."""
    rows: dict[str, list[Entry]] = defaultdict(list)
    lost: dict[str, list[Entry]] = defaultdict(list)
    if old is None:
        return rows, lost
    intact = intact_keys(work, old, verify=verify)
    for entry in old.entries:
        damaged = bool(entry.key) and entry.key not in intact
        (lost if damaged else rows)[entry.audio_id].append(entry)
    return rows, lost


def previous_if_unread(
    result: CutResult, earlier: RecordingOutcome | None, rows: Sequence[Entry], lost: Sequence[Entry]
) -> CutResult:
    """The earlier segments in place of `result`, if the recording cannot be read now."""
    unread = result.outcome.status == "unreachable" and all(
        entry.reason in (NOT_READ, NO_ROOM) for entry in result.entries
    )
    if not unread or earlier is None or not earlier.sample_count:
        return result
    message = f"{result.outcome.message}; its earlier segments are kept"
    without_file = (
        _lost_file_entry(entry, "the recording cannot be read now, so the line cannot be cut again") for entry in lost
    )
    return CutResult(dataclasses.replace(earlier, status="unreachable", message=message), (*rows, *without_file))


def _lost_file_entry(
    entry: Entry, why: str = "the recording is no longer in the raw bucket, so the line cannot be cut again"
) -> Entry:
    """The row of a segment whose file is missing and cannot be made again."""
    without_file = dataclasses.replace(entry, key="", sha256="", size_bytes=0, fingerprint="")
    return without_file.with_verdict(Reject("recording", "file_lost", message=why))


def _adopted_result(
    recording: Recording, earlier: RecordingOutcome | None, rows: Sequence[Entry], lost: Sequence[Entry]
) -> CutResult:
    """Adopted rows are kept unchanged: there is no recording to cut them from again."""
    assert recording.adopted is not None
    remedy = f"run `voice adopt {recording.adopted.url}` again"
    if earlier is None:
        message = f"the adoption of its segments is not complete: {remedy}"
        outcome = RecordingOutcome(recording.audio_id, recording.key, "unreadable", 0, message=message)
        row = Entry("recording", recording.audio_id).with_verdict(Reject("adopt", "not_adopted_yet", message=message))
        return CutResult(outcome, (row,))
    return CutResult(earlier, (*rows, *(_lost_file_entry(entry, f"its file is missing: {remedy}") for entry in lost)))


def _unchanged_outcome(
    recording: Recording, earlier: RecordingOutcome, contents: ContentHashes, same_cut: bool, settings: Settings
) -> RecordingOutcome | None:
    """The earlier outcome, if nothing has changed that the recording's segments depend on; otherwise None.

    The segments of a recording that vanished from the raw bucket are kept in any case, because they cannot be made
    again. `voice forget` removes them.
    """
    if recording.vanished:
        if not earlier.sample_count:
            return None
        message = f"{recording.key} is no longer in the raw bucket; its segments are kept"
        return dataclasses.replace(earlier, status="vanished", message=message)
    known = contents.sha256(recording)
    same = (
        same_cut
        and not recording.broken_limit(settings.audio)
        and known
        and earlier.audio_sha256 == known
        and recording.transcript is not None
        and earlier.transcript_key == recording.transcript.key
        and earlier.transcript_sha256 == recording.transcript_sha256
        and earlier.status not in ("vanished", "unreachable")
    )
    return earlier if same else None
