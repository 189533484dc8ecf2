"""Files that are not transcripts, very large files, and malicious files."""

import contextlib
import json
import math
import pickle
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_assets_tests.core.corpus.ingest.transcript_forms import GOOD, parse_error
from voice_core.corpus.ingest.transcript_types import BAD_LINE_REASONS, MAX_LINES, BadLine, Line, TranscriptError
from voice_core.corpus.ingest.transcripts import parse_transcript, transcript_extensions


class TestUnreadable:
    @pytest.mark.parametrize(
        ("data", "name", "reason", "expected"),
        [
            (b"", "a.json", "transcript_empty", "0 bytes"),
            (b"\xef\xbb\xbf \n", "a.srt", "transcript_empty", "a.srt"),
            (b"", "a.vtt", "transcript_empty", "a.vtt"),
            (b'{"segments": [\n  {"start" 1}]}', "a.json", "transcript_not_json", "line 2, column 12"),
            (b"Sorry, no transcript today.", "a.json", "transcript_not_json", "line 1, column 1"),
            (b'{"segments": [{}', "a.json", "transcript_not_json", "line 1"),
            (b"[" * 100_000, "a.json", "transcript_not_json", "nested too deeply"),
            (b'{"a":' * 100_000, "a.json", "transcript_not_json", "nested too deeply"),
            (b"1" * 9000 + b"x", "a.json", "transcript_not_json", "not JSON"),
            (b'{"text": "\xe3\xe6"}', "a.json", "transcript_not_text", "byte 10"),
            ("مرحبا".encode("cp1256"), "a.srt", "transcript_not_text", "save the file as UTF-8"),
            (b"\xff\xfe\x00", "a.vtt", "transcript_not_text", "UTF-16"),
            (b"3", "a.json", "transcript_no_segments", "3 instead of an object"),
            (b"{}", "a.json", "transcript_no_segments", "neither `segments` nor"),
            (b'{"segments": {"0": 1}, "\\ud800": 1}', "a.json", "transcript_no_segments", "`segments` is an object"),
            (b"00:01.000 --> 00:02.000\nHi", "a.vtt", "transcript_no_header", "line 1"),
            (b"WEBVTTX\n", "a.vtt", "transcript_no_header", "WEBVTT is expected"),
            (b"<html>not found</html>", "a.srt", "transcript_no_cues", "a.srt"),
            (b"x", "a.txt", "transcript_unknown_format", ".json, .vtt, .srt"),
            (b"x", "json", "transcript_unknown_format", "json"),
        ],
        ids=lambda value: str(value)[:30],
    )
    def test_the_message_says_what_is_wrong_and_where(self, data: bytes, name: str, reason: str, expected: str) -> None:
        caught = parse_error(data, name)
        assert caught.reason == reason
        assert expected in str(caught)
        assert name in str(caught)

    def test_the_error_survives_the_way_back_from_a_worker_process(self) -> None:
        caught = parse_error(b"{", "a.json")
        again = pickle.loads(pickle.dumps(caught))
        assert (again.reason, str(again)) == (caught.reason, str(caught))

    def test_the_error_does_not_hold_on_to_the_text(self) -> None:
        for data in (b"{", b"\xe3", b"1" * 9000 + b"x"):
            caught = parse_error(data, "a.json")
            assert caught.__cause__ is None
            assert caught.__context__ is None

    @pytest.mark.parametrize("extension", transcript_extensions())
    @given(data=st.binary())
    def test_arbitrary_bytes_raise_nothing_else(self, extension: str, data: bytes) -> None:
        for prefix in (b"", b"WEBVTT\n", b"\xff\xfe"):
            try:
                lines = parse_transcript(prefix + data, "a" + extension).lines
            except TranscriptError:
                continue
            check_lines(lines)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(
                        ["segments", "transcription", "start", "end", "text", "offsets", "from", "to", "tone"]
                    )
                    | st.text(),
                    inner,
                )
            ),
        )
    )
    def test_arbitrary_json_raises_nothing_else(self, document: object) -> None:
        for wrapped in (document, {"segments": [document, GOOD]}, {"transcription": document}):
            try:
                lines = parse_transcript(json.dumps(wrapped).encode(), "a.json").lines
            except TranscriptError:
                continue
            check_lines(lines)

    @given(
        st.lists(
            st.sampled_from(
                [
                    "\n",
                    "\n\n",
                    "\r\n",
                    "1\n",
                    "2",
                    "x",
                    "00:01.000 --> 00:02.000",
                    "\n00:00:03,5 --> 1:00:00\n",
                    "-->",
                    "NOTE",
                    "<v A>",
                    "<i>",
                    "&lt;",
                    "{\\an8}",
                    "00:61:00 --> ",
                    " ",
                    "\x00",
                    "&#0;",
                    "\u2028",
                ]
            )
        )
    )
    def test_arbitrary_subtitles_raise_nothing_else_and_are_not_dropped(self, pieces: list[str]) -> None:
        text = "".join(pieces)
        for name, document in (("a.srt", text), ("a.vtt", "WEBVTT\n\n" + text)):
            try:
                lines = parse_transcript(document.encode(), name).lines
            except TranscriptError:
                continue
            check_lines(lines)


def check_lines(lines: tuple[Line | BadLine, ...]) -> None:
    assert [line.index for line in lines] == list(range(len(lines)))
    for line in lines:
        line.text.encode()
        assert "\x00" not in line.text
        if isinstance(line, Line):
            assert math.isfinite(line.start_sec)
            assert math.isfinite(line.end_sec)
            "".join((line.speaker_id, line.gender, line.dialect, line.tone)).encode()
        else:
            assert line.reason in BAD_LINE_REASONS
            line.message.encode()


CUE = "1\n00:00:01,000 --> 00:00:02,000\n"

# Quadratic time is a minute at this size; linear time is at most half a second (66,000 bad cues), mostly 10 ms.
MALICE_CHARACTERS = 200_000


def seconds_to_parse(text: str, name: str) -> float:
    started = time.process_time()
    with contextlib.suppress(TranscriptError):
        parse_transcript(text.encode(), name)
    return time.process_time() - started


@pytest.mark.parametrize(
    "piece",
    [
        *("<", "<i ", "<v ", "<v  ", "<v.", "<br ", " ", "{\\", "&", "&#1", "&#11111111", "-->", "1:", "00:", "0"),
        *("\t", "a<i", "->", "\n", "\r", "\r\r", "1\n", "-->\n", "1\n\n", "a\n\n", "00:01,0 --> 00:02,0\n", "NOTE\n\n"),
    ],
)
@pytest.mark.parametrize("lead", ["", CUE, CUE + "<v ", CUE + "<br ", CUE + "{\\", "00:00"])
def test_malicious_text_takes_linear_time(piece: str, lead: str) -> None:
    body = lead + piece * (MALICE_CHARACTERS // len(piece))
    assert seconds_to_parse(body, "a.srt") < 20
    assert seconds_to_parse("WEBVTT\n\n" + body, "a.vtt") < 20


@pytest.mark.parametrize("line", ["<v " + " " * 2_000_000, "<" * 2_000_000, " " * 2_000_000 + "-->", "0" * 2_000_000])
def test_a_line_of_two_megabytes_does_not_hang_the_parser(line: str) -> None:
    assert seconds_to_parse(CUE + line, "a.srt") < 10
    assert seconds_to_parse("WEBVTT\n\n" + CUE + line, "a.vtt") < 10


def test_json_of_many_megabytes_takes_a_few_times_its_size() -> None:
    segment = json.dumps({**GOOD, "text": "قال الراوي " * 5, "speaker_id": "a"}, ensure_ascii=False)
    data = ('{"segments": [' + ",".join([segment] * 100_000) + "]}").encode()
    tracemalloc.start()
    try:
        transcript = parse_transcript(data, "a.json")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(transcript.lines) == 100_000
    assert peak_bytes < 6 * len(data)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b'{"segments": [' + b"{}," * 4_000_000 + b"{}]}", "a.json"),
        (b"[" + b"[]," * 4_000_000 + b"[]]", "a.json"),
        (b"[" + b"0," * (MAX_LINES + 1) + b"0]", "a.json"),
        (b"\n" * 5_000_000 + b"1\n00:01 --> 00:02\nx", "a.srt"),
        (b"WEBVTT\n\n" + b"a\n\n" * 1_000_000, "a.vtt"),
    ],
    ids=["objects", "lists", "segments", "blank lines", "stray lines"],
)
def test_files_that_would_need_much_memory_are_rejected_before_parsing(data: bytes, name: str) -> None:
    tracemalloc.start()
    try:
        assert parse_error(data, name).reason == "transcript_too_large"
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 12 * len(data) + 50_000_000
