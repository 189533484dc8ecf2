"""The defects in the demo's recordings: how each is made, and the reason that the pipeline should give for it."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from voice_core.demo.audio_encoder import Samples
from voice_core.demo.transcripts import TranscriptRow


@dataclass(frozen=True, slots=True)
class LineFault:
    """A defective line in an otherwise healthy recording.

    `rewrite` turns the correct transcript row, given the recording's length in seconds, into the row that is written;
    `damage` changes the audio of the line (at `SAMPLE_RATE_HZ` of rendering.py). `reason` is the pipeline's reject
    reason.
    """

    name: str
    reason: str
    explanation: str
    spoken: str
    rewrite: Callable[[TranscriptRow, float], object] = lambda row, total_sec: row
    damage: Callable[[Samples, int], Samples] | None = None


@dataclass(frozen=True, slots=True)
class FileFault:
    """A recording with defective files. `audio` and `transcript` turn the bytes of a healthy file into those that
    are written; None writes no file."""

    name: str
    reason: str
    explanation: str
    audio: Callable[[bytes], bytes] | None = lambda data: data
    transcript: Callable[[bytes], bytes] | None = lambda data: data


def _silence(samples: Samples, sample_rate_hz: int) -> Samples:
    return np.zeros_like(samples)


def _overdrive(samples: Samples, sample_rate_hz: int) -> Samples:
    return np.clip(samples * 12, -1, 1)


def _limit_to_telephone_band(samples: Samples, sample_rate_hz: int) -> Samples:
    """Filter to 300–3,400 Hz, the band of a telephone call."""
    spectrum = np.fft.rfft(samples)
    hertz = np.fft.rfftfreq(samples.shape[1], 1 / sample_rate_hz)
    spectrum[:, (hertz < 300) | (hertz > 3400)] = 0
    return np.fft.irfft(spectrum, samples.shape[1]).astype(np.float32)


def _overwrite_middle(data: bytes) -> bytes:
    """Overwrite a tenth of the file, in its middle."""
    start, stop = len(data) * 45 // 100, len(data) * 55 // 100
    return data[:start] + np.random.default_rng(1).bytes(stop - start) + data[stop:]


def _convert_list_to_object(transcript: bytes) -> bytes:
    """`{"segments": {"0": {...}, "1": {...}}}`: valid JSON and a plausible export, but not a list."""
    rows = json.loads(transcript)["segments"]
    return json.dumps({"segments": dict(enumerate(rows))}, ensure_ascii=False).encode()


_SPEECH: Final = (
    "The minutes of the meeting were written by three people at once, each of whom had left early, and so the page "
    "holds the opening remarks twice, the budget not at all, and a drawing of the treasurer as a heron. It was "
    "approved without changes, since nobody could remember what had been changed, and the heron was framed."
)
_LONG: Final = " ".join(
    (
        "The committee for the summer fair met on the first warm evening of the year.",
        "They sat in the garden of the old customs house, because the hall still smelled of paint.",
        "The first point was the tent, which had been lent to a wedding and had come back with a door.",
        "The second point was the brass band, whose members had split into two smaller and angrier bands.",
        "It was decided that one should play on the pier and the other on the hill, with the wind to judge them.",
        "The third point was the cake, and on this point the committee was of one mind and several recipes.",
        "Nobody noticed how dark it had become until the chairwoman tried to read the fourth point with a match.",
        "So the fourth point was postponed to the autumn, when, as everybody knows, the fair is already over.",
    )
)

STUDIO_LINES: Final[tuple[str | LineFault, ...]] = (
    "The studio was painted green in the spring, and it has sounded different ever since.",
    "We hung blankets on the walls until the echo gave up.",
    LineFault("empty_text", "empty_text", "rejected: the text is empty",
                "Somebody coughed here and then said this.", lambda row, _: row | {"text": ""}),
    "The chair by the window creaks, so nobody is allowed to breathe in it.",
    LineFault("blank_text", "empty_text", "rejected: the text is only white space",
                "These words were replaced by a blank.", lambda row, _: row | {"text": " \t\n "}),
    "Our first guest brought a goat, and the goat turned out to be the better speaker.",
    LineFault("silent", "silent", "rejected: there is no sound under the text",
                "The microphone was unplugged during this sentence.", damage=_silence),
    "When the power returned, the kettle was the first to speak.",
    LineFault("clipped", "clipped", "rejected: the waveform is cut off at full scale",
                "Then the trumpet player leaned into the microphone.", damage=_overdrive),
    "We turned the dial down and apologised to the neighbours.",
    LineFault("text_too_long", "text_too_fast", "rejected: too many characters a second",
                "The minutes were approved.", lambda row, _: row | {"text": _SPEECH}),
    "A studio needs a clock that does not tick, and ours is a sundial.",
    LineFault("text_too_short", "text_too_slow", "rejected: far too little text for so much speech",
                "The answer that she gave was long, winding and full of footnotes, and it was lost in typing.",
                lambda row, _: row | {"text": "No."}),
    "Between two programmes there are four seconds in which anything may happen.",
    LineFault("telephone", "narrow_band", "rejected: nothing above 3.4 kHz, a telephone call saved at a high rate",
                "Our correspondent is calling from a telephone box at the end of the line.",
              damage=_limit_to_telephone_band),
    "After the call somebody always says that the line was better in the old days.",
    LineFault("too_short", "too_short", "rejected: 60 ms are too short for a segment",
                "Yes, quite so.", lambda row, _: row | {"end": round(row["start"] + 0.06, 3)}),
    LineFault("not_an_object", "not_an_object", "rejected: the segment is not a JSON object",
                "The typist wrote this one without any form.", lambda row, _: row["text"]),
    "The last one out feeds the plant and switches off the red light.",
    LineFault("missing_end", "missing_time", "rejected: the segment has no end",
                "This sentence was never finished on paper.",
                lambda row, _: {key: value for key, value in row.items() if key != "end"}),
    "Tomorrow the green walls will be blue.",
)  # fmt: skip
"""Texts without a defect are healthy lines."""

FIELD_LINES: Final[tuple[str | LineFault, ...]] = (
    LineFault("negative_start", "negative_time", "rejected: it begins before the recording does",
                "The tape was already rolling when we arrived.", lambda row, _: row | {"start": -1.5}),
    "The quarry lies behind the chapel, and on still days you can hear it dripping.",
    "Frogs have taken the lower basin, and they do not give interviews.",
    LineFault("overlapped", "overlap", "rejected with the next line, which claims its last words",
                "A foreman showed us the place where the whale was found."),
    LineFault("overlapping", "overlap", "rejected: it claims more than a second of the line before",
                "It was a very small whale, he added, and made of slate.",
                lambda row, _: row | {"start": round(row["start"] - 2.0, 3)}),
    "Somebody had carved a date into the rock and then corrected it.",
    LineFault("reversed", "reversed", "rejected: it ends before it begins",
                "Here the annotator had the sheet upside down.",
                lambda row, _: row | {"start": row["end"], "end": row["start"]}),
    "We measured the echo with a handclap and an old stopwatch.",
    LineFault("nan_start", "bad_time", "rejected: its start is NaN",
                "The spreadsheet had no idea when this was said.", lambda row, _: row | {"start": math.nan}),
    "A swallow came in through the roof and listened to the end.",
    LineFault("too_long", "too_long", "rejected: longer than 30 s", _LONG),
    "On the way back we counted the steps and disagreed.",
    LineFault("out_of_range", "out_of_range", "rejected: it is after the end of the recording",
                "These words were filed under the following day.",
                lambda row, total_sec: row | {"start": round(total_sec + 10, 3), "end": round(total_sec + 13, 3)}),
    "The gate was locked behind us by somebody whom we never saw.",
    LineFault("partly_out_of_range", "out_of_range", "rejected: it ends 4 s after the recording does",
                "And with that the batteries ran out.",
                lambda row, total_sec: row | {"end": round(total_sec + 4, 3)}),
)  # fmt: skip

FILE_FAULTS: Final[dict[str, FileFault]] = {
    fault.name: fault
    for fault in (
        FileFault("truncated", "unreadable", "unreadable: the index (moov) at the end of the file is missing",
                    audio=lambda data: data[: len(data) * 6 // 10]),
        FileFault("corrupted", "damaged_audio", "partly readable: lines that touch the damage are rejected",
                    audio=_overwrite_middle),
        FileFault("text_as_audio", "unreadable", "unreadable: the file holds text, no audio",
                    audio=lambda data: "lamp oil\ntwo lemons\na stamp, زيت المصباح\n".encode() * 40),
        FileFault("empty_audio", "unreadable", "unreadable: the file has 0 bytes", audio=lambda data: b""),
        FileFault("no_transcript", "no_transcript", "left out: it has no transcript", transcript=None),
        FileFault("transcript_not_json", "transcript_not_json", "left out: its transcript is an HTML page",
                    transcript=lambda data: b"<!doctype html>\n<title>502 Bad Gateway</title>\n<p>Try again later.\n"),
        FileFault("segments_not_a_list", "transcript_no_segments", "left out: `segments` is an object, not a list",
                    transcript=_convert_list_to_object),
        FileFault("orphan_transcript", "orphan", "listed as stray: a transcript without its recording", audio=None),
    )
}  # fmt: skip
