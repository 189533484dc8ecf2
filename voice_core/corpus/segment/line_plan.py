"""Plan the lines of a transcript: which are rejected, which have a segment file already, and which are cut. Pure."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from voice_core.corpus.ingest.transcript_types import BadLine, Line
from voice_core.corpus.labels import fingerprint_labels, label_values
from voice_core.corpus.manifest import Entry, RecordingOutcome
from voice_core.corpus.segment.boundaries import CUTTING_VERSION, Cut, plan_cuts
from voice_core.corpus.segment.measures import MEASURES_VERSION
from voice_core.fingerprint import fingerprint
from voice_core.settings import CutSettings


@dataclass(frozen=True, slots=True)
class LinePlan:
    """The rows of lines that are not cut, the rows that are reused, and the lines to cut."""

    rejected: tuple[Entry, ...]
    reused: tuple[Entry, ...]
    todo: tuple[Cut, ...]
    fingerprints: Mapping[int, str]  # by line index


def plan_lines(
    lines: Sequence[Line | BadLine],
    audio_id: str,
    audio_sha256: str,
    earlier: Mapping[str, Entry],
    settings: CutSettings,
) -> LinePlan:
    """Plan the lines of a recording. `earlier` are its rows with files, by fingerprint."""
    plan = plan_cuts(lines, settings)
    line_fingerprints = {
        cut.line.index: segment_fingerprint(cut, audio_id, audio_sha256, settings) for cut in plan.cuts
    }
    known = {index: earlier[mark] for index, mark in line_fingerprints.items() if mark in earlier}
    return LinePlan(
        rejected=tuple(line_entry(line, audio_id).with_verdict(reject) for line, reject in plan.rejects),
        reused=tuple(known.values()),
        todo=tuple(cut for cut in plan.cuts if cut.line.index not in known),
        fingerprints=line_fingerprints,
    )


def segment_fingerprint(cut: Cut, audio_id: str, audio_sha256: str, settings: CutSettings) -> str:
    """Fingerprint of everything that the segment's file and measures depend on."""
    versions = [CUTTING_VERSION, MEASURES_VERSION]
    parameters = [settings.sample_rate_hz, settings.fade_sec, settings.min_cut_sec]
    line = cut.line
    content = [line.index, line.start_sec, line.end_sec, line.text, *fingerprint_labels(line)]
    windows = [dataclasses.astuple(cut.start), dataclasses.astuple(cut.stop)]
    return fingerprint(versions, parameters, audio_id, audio_sha256, [content, *windows])


def reusable_outcome(before: RecordingOutcome | None, audio_sha256: str) -> RecordingOutcome | None:
    """The earlier outcome, if the audio is the same and was decoded to its end."""
    if before is not None and (before.audio_sha256 != audio_sha256 or before.status not in ("ok", "damaged")):
        return None
    return before


def line_entry(line: Line | BadLine, audio_id: str) -> Entry:
    """The row of a line, before its verdict."""
    if isinstance(line, BadLine):
        return Entry("line", audio_id, line.index, text=line.text)
    return Entry(
        kind="line",
        audio_id=audio_id,
        index=line.index,
        start_sec=line.start_sec,
        end_sec=line.end_sec,
        text=line.text,
        **label_values(line),
    )
