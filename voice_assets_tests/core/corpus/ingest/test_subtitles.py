"""SRT and WebVTT files as people and programs write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_assets_tests.core.corpus.ingest.transcript_forms import get_only_line, line_spans, parse_srt, parse_vtt
from voice_core.corpus.ingest.transcript_types import BadLine, Line, Transcript
from voice_core.corpus.ingest.transcripts import parse_transcript


def only_bad(transcript: Transcript) -> BadLine:
    (line,) = transcript.lines
    assert isinstance(line, BadLine), line
    return line


TWO_CUES = "1\n00:00:01,000 --> 00:00:02,500\nHello\nworld\n\n2\n01:00:00,000 --> 01:00:01,000\nBye\n"
TWO_SPANS = [(1.0, 2.5, "Hello world"), (3600.0, 3601.0, "Bye")]


class TestSrt:
    @pytest.mark.parametrize("newline", ["\n", "\r\n", "\r", "\r\r\n"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_every_line_end_and_byte_order_mark_reads_alike(self, newline: str, encoding: str) -> None:
        transcript = parse_transcript(TWO_CUES.replace("\n", newline).encode(encoding), "a.srt")
        assert (transcript.format, line_spans(transcript)) == ("srt", TWO_SPANS)
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
        assert line_spans(parse_srt(f"1\n{timing}\nx")) == [(start_sec, end_sec, "x")]

    def test_blank_lines_inside_a_cue_lose_none_of_its_text(self) -> None:
        text = TWO_CUES.replace("Hello\n", "Hello\n \n\n")
        assert line_spans(parse_srt(text)) == TWO_SPANS

    def test_missing_blank_lines_lose_no_cue(self) -> None:
        assert line_spans(parse_srt(TWO_CUES.replace("\n\n", "\n"))) == TWO_SPANS

    def test_a_blank_line_after_every_line_changes_nothing(self) -> None:
        assert line_spans(parse_srt(TWO_CUES.replace("\n", "\n\n"))) == TWO_SPANS

    def test_cues_need_no_number_and_a_number_may_be_spoken(self) -> None:
        text = "00:01,000 --> 00:02,000\n42\n\nintro\n00:02,000 --> 00:03,000\nx"
        assert line_spans(parse_srt(text)) == [(1.0, 2.0, "42"), (2.0, 3.0, "x")]

    def test_an_empty_cue_is_a_line_without_text(self) -> None:
        assert line_spans(parse_srt("1\n00:01,000 --> 00:02,000\n\n2\n00:03,000 --> 00:04,000\nx")) == [
            (1.0, 2.0, ""),
            (3.0, 4.0, "x"),
        ]

    def test_markup_goes_and_all_else_stays(self) -> None:
        payload = '{\\an8}<i>a</i> <FONT color="#fff">b</FONT> <noise> 3 < 5 > {x} &amp; --> AT&T<br/>c'
        assert (
            get_only_line(parse_srt(f"1\n00:01,000 --> 00:02,000\n{payload}")).text
            == "a b <noise> 3 < 5 > {x} &amp; --> AT&T c"
        )

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
        before, bad, after = parse_srt(TWO_CUES.replace("\n\n2", f"\n\n7\n{timing}\nlost <i>words</i>\n\n2")).lines
        assert isinstance(bad, BadLine)
        assert (bad.index, bad.reason, bad.text) == (1, "bad_cue", "lost words")
        assert bad.message.startswith("line 7: ")
        assert len(bad.message) < 200
        assert [line.text for line in (before, after)] == ["Hello world", "Bye"]

    def test_a_number_left_at_the_end_of_a_truncated_file_is_reported(self) -> None:
        *lines, bad = parse_srt(TWO_CUES + "\n3\n").lines
        assert len(lines) == 2
        assert isinstance(bad, BadLine)
        assert (bad.reason, bad.text, "line 10" in bad.message) == ("bad_cue", "3", True)

    def test_a_nul_in_a_cue_is_bad_text(self) -> None:
        bad = only_bad(parse_srt("1\n00:01,000 --> 00:02,000\na\x00b"))
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
        assert line_spans(transcript) == TWO_SPANS
        assert len(transcript.lines) == 2

    def test_a_header_alone_has_no_lines(self) -> None:
        assert parse_transcript(b"WEBVTT", "a.vtt") == Transcript((), "vtt")

    def test_a_cue_right_under_the_header_or_a_note_is_not_lost(self) -> None:
        cue = "00:01.000 --> 00:02.000\nx"
        assert line_spans(parse_transcript(f"WEBVTT\n{cue}".encode(), "a.vtt")) == [(1.0, 2.0, "x")]
        assert line_spans(parse_vtt(f"NOTE said\nmore\n{cue}")) == [(1.0, 2.0, "x")]

    def test_voices_are_speakers(self) -> None:
        cue = "00:01.000 --> 00:02.000\n"
        assert get_only_line(parse_vtt(cue + "<v Layla Ali>نعم</v>")) == Line(
            0, 1.0, 2.0, "نعم", speaker_id="Layla Ali"
        )
        assert get_only_line(parse_vtt(cue + "<v.loud Tom &amp; Eve>Yes")).speaker_id == "Tom & Eve"
        assert get_only_line(parse_vtt(cue + "<v A>Yes</v>\n<v B>No</v> <v A>Yes")) == Line(
            0, 1.0, 2.0, "Yes No Yes", speaker_id="A; B"
        )

    def test_markup_is_removed_and_entities_decoded_once(self) -> None:
        payload = (
            "<c.yellow>one</c><00:00:01.500> <lang ar>two</lang>\n&lt;b&gt; &amp;lt; &rlm;x&lrm;&nbsp;&#39;&bogus; &#0;"
        )
        expected = "one two <b> &lt; \u200fx\u200e\u00a0'&bogus; &#0;"
        assert get_only_line(parse_vtt("00:01.000 --> 00:02.000\n" + payload)).text == expected

    def test_a_line_of_one_space_does_not_end_a_cue(self) -> None:
        text = "00:00:00.160 --> 00:00:02.389 align:start\n \nhello<00:00:00.560><c> world</c>\n"
        assert get_only_line(parse_vtt(text)).text == "hello world"

    def test_bad_cues_and_stray_text_leave_their_neighbours(self) -> None:
        transcript = parse_vtt(
            "00:01.000 --> 00:02.000\na\n\n00:03 -> 00:04.000\nb\n\nstray\ntext\n\n00:05.000 --> 00:06.000\nc"
        )
        assert line_spans(transcript) == [(1.0, 2.0, "a"), (5.0, 6.0, "c")]
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
    assert line_spans(parse_srt(text)) == expected
    assert line_spans(parse_vtt(text)) == expected
