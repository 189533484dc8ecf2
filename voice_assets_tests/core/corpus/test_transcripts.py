import contextlib
import json
import math
import pickle
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_core.corpus import transcripts
from voice_core.corpus.transcripts import (
    BAD_LINE_REASONS,
    TRANSCRIPT_EXTENSIONS,
    BadLine,
    Line,
    Transcript,
    TranscriptError,
    parse_transcript,
)

ARABIC = "\u200fقَالَ: «مَرْحَبًا بِكُم» — ٣٫٥٪ \u2067abc\u2069 لا\u200cإله\u00a0إلّا\u200e "
GOOD = {"start": 0.5, "end": 1.5, "text": "kept"}


def native(*segments: object, **document: object) -> Transcript:
    return parse_transcript(json.dumps({**document, "segments": segments}).encode(), "a.json")


def only(transcript: Transcript) -> Line:
    (line,) = transcript.lines
    assert isinstance(line, Line), line
    return line


def only_bad(transcript: Transcript) -> BadLine:
    (line,) = transcript.lines
    assert isinstance(line, BadLine), line
    return line


def srt(text: str) -> Transcript:
    return parse_transcript(text.encode(), "a.srt")


def vtt(text: str) -> Transcript:
    return parse_transcript(("WEBVTT\n\n" + text).encode(), "a.vtt")


def spans(transcript: Transcript) -> list[tuple[float, float, str]]:
    return [(line.start_sec, line.end_sec, line.text) for line in transcript.lines if isinstance(line, Line)]


def error(data: bytes, name: str) -> TranscriptError:
    with pytest.raises(TranscriptError) as caught:
        parse_transcript(data, name)
    return caught.value


class TestNativeJson:
    def test_all_seven_fields_arrive(self) -> None:
        line = only(
            native(
                {
                    "start": 1,
                    "end": 2.25,
                    "text": "نعم",
                    "speaker_id": "spk_1",
                    "gender": "female",
                    "dialect": "najdi",
                    "tone": "calm",
                }
            )
        )
        assert line == Line(0, 1.0, 2.25, "نعم", "spk_1", "female", "najdi", "calm")

    @pytest.mark.parametrize("ensure_ascii", [True, False])
    def test_arabic_with_diacritics_and_bidi_marks_passes_byte_for_byte(self, ensure_ascii: bool) -> None:
        data = json.dumps({"segments": [{**GOOD, "text": ARABIC}]}, ensure_ascii=ensure_ascii).encode()
        assert only(parse_transcript(data, "a.json")).text.encode() == ARABIC.encode()

    @given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), st.booleans())
    def test_any_text_passes_byte_for_byte(self, text: str, ensure_ascii: bool) -> None:
        document = {"segments": [{**GOOD, "text": text, "speaker_id": text}]}
        line = only(parse_transcript(json.dumps(document, ensure_ascii=ensure_ascii).encode(), "a.json"))
        assert line.text.encode() == text.encode()
        assert line.speaker_id == text

    def test_a_bare_list_is_native(self) -> None:
        transcript = parse_transcript(json.dumps([{**GOOD, "text": " as is "}]).encode(), "a.json")
        assert (transcript.format, only(transcript).text) == ("native", " as is ")

    def test_no_segments_is_a_transcript_without_lines(self) -> None:
        assert native() == Transcript((), "native")
        assert parse_transcript(b"[]", "a.json").lines == ()

    def test_negative_and_reversed_times_are_left_to_the_rules(self) -> None:
        assert spans(native({"start": -3, "end": -7.5, "text": "x"})) == [(-3.0, -7.5, "x")]

    @pytest.mark.parametrize(
        ("value", "seconds"), [("12.5", 12.5), (" 3 ", 3.0), ("-1e1", -10.0), (".5", 0.5), (7, 7.0)]
    )
    def test_numbers_in_strings_are_times(self, value: object, seconds: float) -> None:
        assert only(native({**GOOD, "start": value})).start_sec == seconds

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (None, ""),
            (math.nan, ""),
            (3, "3"),
            (3.0, "3"),
            (1.5, "1.5"),
            ("", ""),
            (" S ", " S "),
            (10**400, "1" + "0" * 400),
        ],
    )
    def test_metadata_may_be_null_or_a_number(self, value: object, text: str) -> None:
        assert only(native({**GOOD, "speaker_id": value, "tone": value})) == Line(
            0, 0.5, 1.5, "kept", speaker_id=text, tone=text
        )

    def test_speaker_is_another_name_for_speaker_id(self) -> None:
        assert only(native({**GOOD, "speaker": "SPEAKER_01"})).speaker_id == "SPEAKER_01"
        assert only(native({**GOOD, "speaker": "no", "speaker_id": "yes"})).speaker_id == "yes"
        assert only(native({**GOOD, "speaker": "yes", "speaker_id": None})).speaker_id == "yes"

    def test_the_last_of_a_key_given_twice_counts(self) -> None:
        data = b'{"segments": [], "segments": [{"start": 9, "start": 1, "end": 2, "text": "a", "text": "b"}]}'
        assert spans(parse_transcript(data, "a.json")) == [(1.0, 2.0, "b")]

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    @pytest.mark.parametrize("name", ["a.json", "بث/A.JSON"])
    def test_byte_order_marks_and_upper_case_extensions_are_fine(self, encoding: str, name: str) -> None:
        data = json.dumps({"segments": [{**GOOD, "text": ARABIC}]}, ensure_ascii=False).encode(encoding)
        assert only(parse_transcript(data, name)).text == ARABIC


class TestWhisperJson:
    def test_openai_output_is_stripped_and_named(self) -> None:
        segment = {"id": 0, "seek": 0, "avg_logprob": -0.2, "tokens": [50364, 50], "text": "  مرحبا بكم\n"}
        transcript = native({**GOOD, **segment}, language="ar", text=" مرحبا بكم")
        assert (transcript.format, transcript.language) == ("whisper", "ar")
        assert only(transcript).text == "مرحبا بكم"

    def test_whisperx_speakers_arrive(self) -> None:
        segment = {**GOOD, "text": " Yes.", "words": [{"word": "Yes."}], "speaker": "SPEAKER_00"}
        line = only(native(segment, word_segments=[]))
        assert (line.text, line.speaker_id) == ("Yes.", "SPEAKER_00")

    def test_a_field_of_the_native_format_keeps_the_text_untouched(self) -> None:
        transcript = native({**GOOD, "text": " x", "words": [], "dialect": None}, language="ar")
        assert (transcript.format, transcript.language, only(transcript).text) == ("native", "ar", " x")

    def test_whisper_cpp_counts_in_milliseconds(self) -> None:
        document = {
            "result": {"language": "ar"},
            "transcription": [
                {"timestamps": {}, "offsets": {"from": 0, "to": 2500}, "text": " أهلا"},
                {"text": " no offsets"},
                {"offsets": {"from": 2500, "to": 3000}, "text": " end"},
            ],
        }
        transcript = parse_transcript(json.dumps(document).encode(), "a.json")
        assert (transcript.format, transcript.language) == ("whisper.cpp", "ar")
        assert spans(transcript) == [(0.0, 2.5, "أهلا"), (2.5, 3.0, "end")]
        bad = transcript.lines[1]
        assert isinstance(bad, BadLine)
        assert (bad.reason, bad.text) == ("missing_time", " no offsets")
        assert "transcription[1].offsets" in bad.message


BAD_SEGMENTS: list[tuple[str, str, str, str]] = [
    ("3", "not_an_object", "segments[1]", ""),
    ('"just text"', "not_an_object", "segments[1]", "just text"),
    ("[[]]", "not_an_object", "segments[1]", ""),
    ("null", "not_an_object", "segments[1]", ""),
    ('{"end": 2, "text": "t"}', "missing_time", "segments[1].start", "t"),
    ('{"start": 1, "end": null, "text": "t"}', "missing_time", "segments[1].end", "t"),
    ('{"start": NaN, "end": 2, "text": "t"}', "bad_time", "segments[1].start", "t"),
    ('{"start": 1, "end": -Infinity, "text": "t"}', "bad_time", "segments[1].end", "t"),
    ('{"start": 1, "end": 1e999, "text": "t"}', "bad_time", "segments[1].end", "t"),
    ('{"start": 1%s, "end": 2, "text": "t"}' % ("0" * 400), "bad_time", "401 digits", "t"),
    ('{"start": 1%s, "end": 2, "text": "t"}' % ("0" * 9000), "bad_time", "segments[1].start", "t"),
    ('{"start": true, "end": 2, "text": "t"}', "bad_time", "True", "t"),
    ('{"start": "1_0", "end": 2, "text": "t"}', "bad_time", "'1_0'", "t"),
    ('{"start": "nan", "end": 2, "text": "t"}', "bad_time", "'nan'", "t"),
    ('{"start": "1e999", "end": 2, "text": "t"}', "bad_time", "'1e999'", "t"),
    ('{"start": "%s", "end": 2, "text": "t"}' % ("1" * 500), "bad_time", "1" * 80 + "'…", "t"),
    ('{"start": [[1]], "end": 2, "text": "t"}', "bad_time", "a list of 1", "t"),
    ('{"start": 1, "end": 2}', "bad_text", "segments[1].text", ""),
    ('{"start": 1, "end": 2, "text": null}', "bad_text", "segments[1].text", ""),
    ('{"start": 1, "end": 2, "text": ["t"]}', "bad_text", "a list of 1", ""),
    (r'{"start": 1, "end": 2, "text": "a\ud800b"}', "bad_text", "U+D800", "a\ufffdb"),
    (r'{"start": 1, "end": 2, "text": "a\u0000b"}', "bad_text", "NUL", "a\ufffdb"),
    ('{"start": 1, "end": 2, "text": "t", "tone": true}', "bad_metadata", "segments[1].tone", "t"),
    ('{"start": 1, "end": 2, "text": "t", "speaker": ["a"]}', "bad_metadata", "segments[1].speaker", "t"),
    ('{"start": 1, "end": 2, "text": "t", "gender": Infinity}', "bad_metadata", "segments[1].gender", "t"),
    (r'{"start": 1, "end": 2, "text": "t", "dialect": "\udfff"}', "bad_metadata", "U+DFFF", "t"),
]


@pytest.mark.parametrize(("segment", "reason", "where", "text"), BAD_SEGMENTS, ids=lambda value: str(value)[:40])
def test_a_bad_segment_is_a_bad_line_and_its_neighbours_stay(segment: str, reason: str, where: str, text: str) -> None:
    good = json.dumps({**GOOD, "gender": "f"})
    data = f'{{"segments": [{good}, {segment}, {good}]}}'.encode()
    before, bad, after = parse_transcript(data, "a.json").lines
    assert (before, after) == (Line(0, 0.5, 1.5, "kept", gender="f"), Line(2, 0.5, 1.5, "kept", gender="f"))
    assert isinstance(bad, BadLine)
    assert (bad.index, bad.reason, bad.text) == (1, reason, text)
    assert where in bad.message
    assert len(bad.message) < 250
    assert reason in BAD_LINE_REASONS
    bad.message.encode()


class TestUnreadable:
    @pytest.mark.parametrize(
        ("data", "name", "reason", "said"),
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
            (b"{}", "a.json", "transcript_no_segments", "keys: none"),
            (b'{"segments": {"0": 1}, "\\ud800": 1}', "a.json", "transcript_no_segments", "'segments', '\\ud800'"),
            (b"00:01.000 --> 00:02.000\nHi", "a.vtt", "transcript_no_header", "line 1"),
            (b"WEBVTTX\n", "a.vtt", "transcript_no_header", "WEBVTTX"),
            (b"<html>not found</html>", "a.srt", "transcript_no_cues", "a.srt"),
            (b"x", "a.txt", "transcript_unknown_format", ".json, .vtt, .srt"),
            (b"x", "json", "transcript_unknown_format", "json"),
        ],
        ids=lambda value: str(value)[:30],
    )
    def test_the_message_says_what_is_wrong_and_where(self, data: bytes, name: str, reason: str, said: str) -> None:
        caught = error(data, name)
        assert caught.reason == reason
        assert said in str(caught)
        assert name in str(caught)

    def test_the_error_survives_the_way_back_from_a_worker_process(self) -> None:
        caught = error(b"{", "a.json")
        again = pickle.loads(pickle.dumps(caught))
        assert (again.reason, str(again)) == (caught.reason, str(caught))

    def test_the_error_does_not_hold_on_to_the_text(self) -> None:
        for data in (b"{", b"\xe3", b"1" * 9000 + b"x"):
            caught = error(data, "a.json")
            assert caught.__cause__ is None
            assert caught.__context__ is None

    @pytest.mark.parametrize("extension", TRANSCRIPT_EXTENSIONS)
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


TWO_CUES = "1\n00:00:01,000 --> 00:00:02,500\nHello\nworld\n\n2\n01:00:00,000 --> 01:00:01,000\nBye\n"
TWO_SPANS = [(1.0, 2.5, "Hello world"), (3600.0, 3601.0, "Bye")]


class TestSrt:
    @pytest.mark.parametrize("newline", ["\n", "\r\n", "\r", "\r\r\n"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_every_line_end_and_byte_order_mark_reads_alike(self, newline: str, encoding: str) -> None:
        transcript = parse_transcript(TWO_CUES.replace("\n", newline).encode(encoding), "a.srt")
        assert (transcript.format, spans(transcript)) == ("srt", TWO_SPANS)
        assert len(transcript.lines) == 2

    @pytest.mark.parametrize(
        ("timing", "start_sec", "end_sec"),
        [
            ("00:00:01.250 --> 00:00:02,5", 1.25, 2.5),
            ("00:01,000-->00:02,000", 1.0, 2.0),
            ("  0:00:01,000   -->   0:00:02,000  X1:10 X2:20", 1.0, 2.0),
            ("00:00:01 --> 123:00:00", 1.0, 442800.0),
            ("-00:00:01,500 --> 00:00:00,000", -1.5, 0.0),
            ("00:00:09,000 --> 00:00:08,000", 9.0, 8.0),
        ],
    )
    def test_times_are_read_as_people_write_them(self, timing: str, start_sec: float, end_sec: float) -> None:
        assert spans(srt(f"1\n{timing}\nx")) == [(start_sec, end_sec, "x")]

    def test_blank_lines_inside_a_cue_lose_none_of_its_text(self) -> None:
        text = TWO_CUES.replace("Hello\n", "Hello\n \n\n")
        assert spans(srt(text)) == TWO_SPANS

    def test_missing_blank_lines_lose_no_cue(self) -> None:
        assert spans(srt(TWO_CUES.replace("\n\n", "\n"))) == TWO_SPANS

    def test_a_blank_line_after_every_line_changes_nothing(self) -> None:
        assert spans(srt(TWO_CUES.replace("\n", "\n\n"))) == TWO_SPANS

    def test_cues_need_no_number_and_a_number_may_be_spoken(self) -> None:
        text = "00:01,000 --> 00:02,000\n42\n\nintro\n00:02,000 --> 00:03,000\nx"
        assert spans(srt(text)) == [(1.0, 2.0, "42"), (2.0, 3.0, "x")]

    def test_an_empty_cue_is_a_line_without_text(self) -> None:
        assert spans(srt("1\n00:01,000 --> 00:02,000\n\n2\n00:03,000 --> 00:04,000\nx")) == [
            (1.0, 2.0, ""),
            (3.0, 4.0, "x"),
        ]

    def test_markup_goes_and_all_else_stays(self) -> None:
        payload = '{\\an8}<i>a</i> <FONT color="#fff">b</FONT> <noise> 3 < 5 > {x} &amp; --> AT&T<br/>c'
        assert only(srt(f"1\n00:01,000 --> 00:02,000\n{payload}")).text == "a b <noise> 3 < 5 > {x} &amp; --> AT&T c"

    @pytest.mark.parametrize(
        "timing",
        [
            "00:00:0x,000 --> 00:00:02,000",
            "00:00:01,000 --> ",
            "00:00:01,000 -> 00:00:02,000",
            "00:00:01,000 --> 00:75:00,000",
            "--> 00:00:02,000",
            "-->",
            "00:00:01,000 --> " + "9" * 500,
        ],
    )
    def test_a_malformed_time_line_is_one_bad_line_with_its_text(self, timing: str) -> None:
        before, bad, after = srt(TWO_CUES.replace("\n\n2", f"\n\n7\n{timing}\nlost <i>words</i>\n\n2")).lines
        assert isinstance(bad, BadLine)
        assert (bad.index, bad.reason, bad.text) == (1, "bad_cue", "lost words")
        assert bad.message.startswith("line 7: ")
        assert len(bad.message) < 200
        assert [line.text for line in (before, after)] == ["Hello world", "Bye"]

    def test_a_number_left_at_the_end_of_a_cut_file_is_told(self) -> None:
        *lines, bad = srt(TWO_CUES + "\n3\n").lines
        assert len(lines) == 2
        assert isinstance(bad, BadLine)
        assert (bad.reason, bad.text, "line 10" in bad.message) == ("bad_cue", "3", True)

    def test_a_nul_in_a_cue_is_bad_text(self) -> None:
        bad = only_bad(srt("1\n00:01,000 --> 00:02,000\na\x00b"))
        assert (bad.reason, bad.text) == ("bad_text", "a\ufffdb")


class TestVtt:
    def test_header_notes_styles_regions_settings_and_identifiers(self) -> None:
        text = (
            "WEBVTT - a title\nKind: captions\nLanguage: ar\n\n"
            "STYLE\n::cue { color: red }\n\nREGION\nid:fred\n\nNOTE\nseveral\nlines --> here\n\nNOTE one --> line\n\n"
            "intro\n00:01.000 --> 00:02.500 align:start position:10%\nHello\nworld\n\n"
            "2\n01:00:00.000 --> 01:00:01.000\nBye"
        )
        transcript = parse_transcript(text.encode(), "a.vtt")
        assert (transcript.format, transcript.language) == ("vtt", "ar")
        assert spans(transcript) == TWO_SPANS
        assert len(transcript.lines) == 2

    def test_a_header_alone_has_no_lines(self) -> None:
        assert parse_transcript(b"WEBVTT", "a.vtt") == Transcript((), "vtt")

    def test_a_cue_right_under_the_header_or_a_note_is_not_lost(self) -> None:
        cue = "00:01.000 --> 00:02.000\nx"
        assert spans(parse_transcript(f"WEBVTT\n{cue}".encode(), "a.vtt")) == [(1.0, 2.0, "x")]
        assert spans(vtt(f"NOTE said\nmore\n{cue}")) == [(1.0, 2.0, "x")]

    def test_voices_are_speakers(self) -> None:
        cue = "00:01.000 --> 00:02.000\n"
        assert only(vtt(cue + "<v Layla Ali>نعم</v>")) == Line(0, 1.0, 2.0, "نعم", "Layla Ali")
        assert only(vtt(cue + "<v.loud Tom &amp; Eve>Yes")).speaker_id == "Tom & Eve"
        assert only(vtt(cue + "<v A>Yes</v>\n<v B>No</v> <v A>Yes")) == Line(0, 1.0, 2.0, "Yes No Yes", "A; B")

    def test_markup_is_removed_and_entities_decoded_once(self) -> None:
        payload = (
            "<c.yellow>one</c><00:00:01.500> <lang ar>two</lang>\n&lt;b&gt; &amp;lt; &rlm;x&lrm;&nbsp;&#39;&bogus; &#0;"
        )
        expected = "one two <b> &lt; \u200fx\u200e\u00a0'&bogus; &#0;"
        assert only(vtt("00:01.000 --> 00:02.000\n" + payload)).text == expected

    def test_a_line_of_one_space_does_not_end_a_cue(self) -> None:
        text = "00:00:00.160 --> 00:00:02.389 align:start\n \nhello<00:00:00.560><c> world</c>\n"
        assert only(vtt(text)).text == "hello world"

    def test_bad_cues_and_stray_text_leave_their_neighbours(self) -> None:
        transcript = vtt(
            "00:01.000 --> 00:02.000\na\n\n00:03 -> 00:04.000\nb\n\nstray\ntext\n\n00:05.000 --> 00:06.000\nc"
        )
        assert spans(transcript) == [(1.0, 2.0, "a"), (5.0, 6.0, "c")]
        bad = [line for line in transcript.lines if isinstance(line, BadLine)]
        assert [(line.index, line.reason, line.text) for line in bad] == [
            (1, "bad_cue", "b"),
            (2, "bad_cue", "stray text"),
        ]
        assert bad[0].message.startswith("line 6: ")
        assert bad[1].message.startswith("line 9: ")


WORDS = st.text(st.characters(categories=["L", "M", "N"]), min_size=1, max_size=8)


@given(st.lists(st.tuples(st.integers(0, 10**8), st.integers(0, 10**8), WORDS), min_size=1, max_size=8), st.booleans())
def test_what_is_written_as_srt_or_vtt_is_read_back(cues: list[tuple[int, int, str]], dots: bool) -> None:
    def stamp(ms: int) -> str:
        s = ms // 1000
        return f"{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}{'.' if dots else ','}{ms % 1000:03}"

    text = "\n".join(f"{i}\n{stamp(a)} --> {stamp(b)}\n{word}\n" for i, (a, b, word) in enumerate(cues, 1))
    expected = [(a / 1000, b / 1000, word) for a, b, word in cues]
    assert spans(srt(text)) == expected
    assert spans(vtt(text)) == expected


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
        (b"[" + b"0," * (transcripts.MAX_LINES + 1) + b"0]", "a.json"),
        (b"\n" * 5_000_000 + b"1\n00:01 --> 00:02\nx", "a.srt"),
        (b"WEBVTT\n\n" + b"a\n\n" * 1_000_000, "a.vtt"),
    ],
    ids=["objects", "lists", "segments", "blank lines", "stray lines"],
)
def test_junk_that_would_swell_in_memory_is_refused_before(data: bytes, name: str) -> None:
    tracemalloc.start()
    try:
        assert error(data, name).reason == "transcript_too_large"
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 12 * len(data) + 50_000_000
