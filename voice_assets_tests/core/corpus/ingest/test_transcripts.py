"""JSON transcripts (the native format and those of the Whisper family), and the registry of formats."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_assets_tests.core.corpus.ingest.transcript_forms import GOOD, get_only_line, line_spans
from voice_core.corpus.ingest import transcripts
from voice_core.corpus.ingest.recordings import pair_transcripts
from voice_core.corpus.ingest.transcript_fields import parse_line, parse_time
from voice_core.corpus.ingest.transcript_formats.subtitles import parse_srt
from voice_core.corpus.ingest.transcript_types import BAD_LINE_REASONS, BadLine, Line, Transcript, TranscriptError
from voice_core.corpus.ingest.transcripts import TranscriptFormat, parse_transcript
from voice_core.settings import Settings
from voice_core.storage.store import ObjectInfo

ARABIC = "\u200fقَالَ: «مَرْحَبًا بِكُم» — ٣٫٥٪ \u2067abc\u2069 لا\u200cإله\u00a0إلّا\u200e "


def native(*segments: object, **document: object) -> Transcript:
    return parse_transcript(json.dumps({**document, "segments": segments}).encode(), "a.json")


class TestNativeJson:
    def test_all_seven_fields_arrive(self) -> None:
        line = get_only_line(
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
        assert line == Line(0, 1.0, 2.25, "نعم", speaker_id="spk_1", gender="female", dialect="najdi", tone="calm")

    @pytest.mark.parametrize("ensure_ascii", [True, False])
    def test_arabic_with_diacritics_and_bidi_marks_passes_byte_for_byte(self, ensure_ascii: bool) -> None:
        data = json.dumps({"segments": [{**GOOD, "text": ARABIC}]}, ensure_ascii=ensure_ascii).encode()
        assert get_only_line(parse_transcript(data, "a.json")).text.encode() == ARABIC.encode()

    @given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), st.booleans())
    def test_any_text_passes_byte_for_byte(self, text: str, ensure_ascii: bool) -> None:
        document = {"segments": [{**GOOD, "text": text, "speaker_id": text}]}
        line = get_only_line(parse_transcript(json.dumps(document, ensure_ascii=ensure_ascii).encode(), "a.json"))
        assert line.text.encode() == text.encode()
        assert line.speaker_id == text

    def test_a_bare_list_is_native(self) -> None:
        transcript = parse_transcript(json.dumps([{**GOOD, "text": " as is "}]).encode(), "a.json")
        assert (transcript.format, get_only_line(transcript).text) == ("native", " as is ")

    def test_no_segments_is_a_transcript_without_lines(self) -> None:
        assert native() == Transcript((), "native")
        assert parse_transcript(b"[]", "a.json").lines == ()

    def test_negative_and_reversed_times_are_left_to_the_rules(self) -> None:
        assert line_spans(native({"start": -3, "end": -7.5, "text": "x"})) == [(-3.0, -7.5, "x")]

    @pytest.mark.parametrize(
        ("value", "seconds"), [("12.5", 12.5), (" 3 ", 3.0), ("-1e1", -10.0), (".5", 0.5), (7, 7.0)]
    )
    def test_numbers_in_strings_are_times(self, value: object, seconds: float) -> None:
        assert get_only_line(native({**GOOD, "start": value})).start_sec == seconds

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
        assert get_only_line(native({**GOOD, "speaker_id": value, "tone": value})) == Line(
            0, 0.5, 1.5, "kept", speaker_id=text, tone=text
        )

    def test_speaker_is_another_name_for_speaker_id(self) -> None:
        assert get_only_line(native({**GOOD, "speaker": "SPEAKER_01"})).speaker_id == "SPEAKER_01"
        assert get_only_line(native({**GOOD, "speaker": "no", "speaker_id": "yes"})).speaker_id == "yes"
        assert get_only_line(native({**GOOD, "speaker": "yes", "speaker_id": None})).speaker_id == "yes"

    def test_the_last_of_a_key_given_twice_counts(self) -> None:
        data = b'{"segments": [], "segments": [{"start": 9, "start": 1, "end": 2, "text": "a", "text": "b"}]}'
        assert line_spans(parse_transcript(data, "a.json")) == [(1.0, 2.0, "b")]

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    @pytest.mark.parametrize("name", ["a.json", "بث/A.JSON"])
    def test_byte_order_marks_and_upper_case_extensions_are_fine(self, encoding: str, name: str) -> None:
        data = json.dumps({"segments": [{**GOOD, "text": ARABIC}]}, ensure_ascii=False).encode(encoding)
        assert get_only_line(parse_transcript(data, name)).text == ARABIC


class TestWhisperJson:
    def test_openai_output_is_stripped_and_named(self) -> None:
        segment = {"id": 0, "seek": 0, "avg_logprob": -0.2, "tokens": [50364, 50], "text": "  مرحبا بكم\n"}
        transcript = native({**GOOD, **segment}, language="ar", text=" مرحبا بكم")
        assert (transcript.format, transcript.language) == ("whisper", "ar")
        assert get_only_line(transcript).text == "مرحبا بكم"

    def test_whisperx_speakers_arrive(self) -> None:
        segment = {**GOOD, "text": " Yes.", "words": [{"word": "Yes."}], "speaker": "SPEAKER_00"}
        line = get_only_line(native(segment, word_segments=[]))
        assert (line.text, line.speaker_id) == ("Yes.", "SPEAKER_00")

    def test_a_field_of_the_native_format_keeps_the_text_untouched(self) -> None:
        transcript = native({**GOOD, "text": " x", "words": [], "dialect": None}, language="ar")
        assert (transcript.format, transcript.language, get_only_line(transcript).text) == ("native", "ar", " x")

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
        assert line_spans(transcript) == [(0.0, 2.5, "أهلا"), (2.5, 3.0, "end")]
        bad = transcript.lines[1]
        assert isinstance(bad, BadLine)
        assert (bad.reason, bad.text) == ("missing_time", " no offsets")
        assert "transcription[1].offsets" in bad.message


class TestRegistry:
    @staticmethod
    def parse_tsv(text: str, name: str) -> Transcript:
        lines = []
        for index, row in enumerate(text.splitlines()):
            start, end, words = row.split("\t")
            fields, path = {"text": words}, f"{name}, line {index + 1}"
            lines.append(parse_line(index, fields, path, parse_time(start, path), parse_time(end, path)))
        return Transcript(tuple(lines), "tsv")

    def test_a_new_format_is_one_entry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        formats = [*transcripts.TRANSCRIPT_FORMATS, TranscriptFormat("tsv", (".tsv",), self.parse_tsv)]
        monkeypatch.setattr(transcripts, "TRANSCRIPT_FORMATS", formats)
        assert line_spans(parse_transcript("0\t1.5\tنعم\n".encode(), "a.TSV")) == [(0.0, 1.5, "نعم")]
        assert transcripts.transcript_extensions()[-1] == ".tsv"
        audio, transcript = (ObjectInfo(f"news/a{extension}", 1, "", "") for extension in (".wav", ".tsv"))
        (found,) = pair_transcripts([audio, transcript], Settings()).recordings.values()
        assert found.transcript == transcript

    def test_formats_with_the_same_extension_are_distinguished_by_their_content(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tsv = TranscriptFormat("tsv", (".txt",), self.parse_tsv, detect=lambda text: "\t" in text)
        srt = TranscriptFormat("srt", (".txt",), parse_srt, detect=lambda text: "-->" in text)
        monkeypatch.setattr(transcripts, "TRANSCRIPT_FORMATS", [tsv, srt])
        assert parse_transcript(b"0\t1\tx", "a.txt").format == "tsv"
        assert parse_transcript(b"1\n00:01,0 --> 00:02,0\nx", "a.txt").format == "srt"
        with pytest.raises(TranscriptError, match="none of these formats: tsv, srt") as caught:
            parse_transcript(b"neither", "a.txt")
        assert caught.value.reason == "transcript_unknown_format"


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
    ('{"start": "1_0", "end": 2, "text": "t"}', "bad_time", "a string of 3 characters", "t"),
    ('{"start": "nan", "end": 2, "text": "t"}', "bad_time", "a string of 3 characters", "t"),
    ('{"start": "1e999", "end": 2, "text": "t"}', "bad_time", "a string of 5 characters", "t"),
    ('{"start": "%s", "end": 2, "text": "t"}' % ("1" * 500), "bad_time", "a string of 500 characters", "t"),
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
