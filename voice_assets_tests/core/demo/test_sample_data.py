"""The demo world is what its tables say: every format opens, every accident has happened."""

import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest

from voice_assets_tests.files import files_below
from voice_core.corpus.ingest.transcripts import parse_transcript
from voice_core.demo.recording_specs import DEMO_CHANNEL_MAPPING, DEMO_FAULTS, list_recording_specs
from voice_core.demo.sample_data import DemoRecording, SampleData, generate_sample_data, repair_recording
from voice_core.demo.script import RECURRING_LINES, ScriptLine

SCALE = 0.05


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> SampleData:
    return generate_sample_data(tmp_path_factory.mktemp("demo"), seconds_scale=SCALE)


def decoded(path: Path) -> tuple[np.ndarray, int]:
    """Samples of shape [channels, samples] as float, and the rate."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
        frames = [frame for packet in container.decode(stream) for frame in resampler.resample(packet)]
        return np.concatenate([frame.to_ndarray() for frame in frames], axis=1), stream.rate


def find(world: SampleData, key: str) -> DemoRecording:
    (found,) = [item for item in world.recordings if f"{item.channel}/{item.audio_id}" == key]
    return found


def segments(world: SampleData, trouble: str) -> tuple[DemoRecording, list, int]:
    recording = find(world, DEMO_FAULTS[trouble].key)
    assert recording.transcript is not None
    line = DEMO_FAULTS[trouble].line
    assert line is not None
    return recording, json.loads(recording.transcript.read_text(encoding="utf-8"))["segments"], line


# --- healthy recordings ----------------------------------------------------------------------------------------


def healthy(world: SampleData) -> Iterator[tuple[DemoRecording, tuple[int, int]]]:
    said = {plan.audio_key: (plan.format.sample_rate_hz, plan.format.channels) for plan in list_recording_specs(SCALE)}
    for recording in world.recordings:
        if recording.fault is None:
            yield recording, said[f"{recording.channel}/{recording.path.name}"]


def test_every_healthy_file_decodes_at_the_rate_channels_and_length_that_it_is_said_to_have(world: SampleData) -> None:
    for recording, (rate_hz, channels) in healthy(world):
        samples, decoded_rate_hz = decoded(recording.path)
        assert decoded_rate_hz == recording.sample_rate_hz == rate_hz, recording.path
        assert len(samples) == recording.channels == channels
        assert samples.shape[1] / rate_hz == pytest.approx(recording.duration_sec, abs=0.05)


def test_the_sample_data_has_all_formats_rates_and_layouts(world: SampleData) -> None:
    found = [recording for recording, _ in healthy(world)]
    assert {item.kind for item in found} == {"mp3", "m4a", "opus", "ogg", "flac", "wav"}
    assert {item.sample_rate_hz for item in found} == {16_000, 22_050, 24_000, 44_100, 48_000}
    assert {item.channels for item in found} == {1, 2}
    assert {item.transcript_kind for item in found} == {"native", "whisper", "srt", "vtt"}
    assert len({item.channel for item in found}) == 2
    assert set(DEMO_CHANNEL_MAPPING) < {item.channel for item in found}
    assert any(" " in item.audio_id and re.search("[\u0600-\u06ff]", item.audio_id) for item in found)


def test_the_two_channels_of_a_stereo_recording_differ_a_little(world: SampleData) -> None:
    for recording, (_, channels) in healthy(world):
        if channels == 2:
            left, right = decoded(recording.path)[0]
            assert 0.9 < np.corrcoef(left, right)[0, 1] < 1


def test_lines_of_healthy_transcripts_are_within_the_audio_and_do_not_overlap(world: SampleData) -> None:
    for recording, _ in healthy(world):
        if recording.transcript_kind == "native" and recording.healthy_line_count == line_count(recording):
            assert recording.transcript is not None
            rows = json.loads(recording.transcript.read_text(encoding="utf-8"))["segments"]
            times = [time for row in rows for time in (row["start"], row["end"])]
            assert times == sorted(times)
            assert times[0] >= 0
            assert times[-1] <= (recording.duration_sec or 0)
            assert all(row["speaker_id"] and row["gender"] and row["dialect"] and row["tone"] for row in rows)


def test_every_transcript_format_reads_back_as_the_script(world: SampleData) -> None:
    for recording, _ in healthy(world):
        plan = next(plan for plan in list_recording_specs(SCALE) if plan.audio_id == recording.audio_id)
        if not all(isinstance(line, ScriptLine) for line in plan.lines):
            continue
        assert recording.transcript is not None
        read = parse_transcript(recording.transcript.read_bytes(), recording.transcript.name)
        assert read.format == recording.transcript_kind
        assert [line.text for line in read.lines] == [
            line.written for line in plan.lines if isinstance(line, ScriptLine)
        ]


def line_count(recording: DemoRecording) -> int:
    plan = next(plan for plan in list_recording_specs(SCALE) if plan.audio_id == recording.audio_id)
    return len(plan.lines)


def test_a_line_is_loud_where_its_transcript_says_and_its_pauses_are_not(world: SampleData) -> None:
    recording = find(world, "Atheer_-/atheer_0003")
    assert recording.transcript is not None
    samples, rate_hz = decoded(recording.path)
    rows = json.loads(recording.transcript.read_text(encoding="utf-8"))["segments"]
    for row, after in itertools.pairwise(rows):
        speech = samples[0, round(row["start"] * rate_hz) : round(row["end"] * rate_hz)]
        middle = (row["end"] + after["start"]) / 2
        pause = samples[0, round((middle - 0.01) * rate_hz) : round((middle + 0.01) * rate_hz)]
        assert rms_dbfs(speech) > -26
        assert rms_dbfs(pause) < -50


def rms_dbfs(samples: np.ndarray) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(samples**2)) + 1e-9))


def test_the_whole_script_recurs_where_it_means_to_and_feeds_every_filter() -> None:
    texts = [line.written for plan in list_recording_specs() for line in plan.lines if isinstance(line, ScriptLine)]
    repeated = {text for text, count in Counter(texts).items() if count > 1}
    assert repeated == set(RECURRING_LINES)
    for flaw in (r"\d", "£", "[A-Z]{2}", r"[^.,?!؟]$", r"؟$", "[\u0600-\u06ff]"):
        assert sum(bool(re.search(flaw, text)) for text in texts) >= 2, flaw


# --- troubles --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["truncated", "text_as_audio", "empty_audio"])
def test_these_files_cannot_be_opened(world: SampleData, name: str) -> None:
    recording = find(world, DEMO_FAULTS[name].key)
    assert recording.duration_sec is None
    with pytest.raises(av.error.FFmpegError):
        av.open(str(recording.path))


def test_the_truncated_file_lacks_its_index_and_the_empty_one_everything(world: SampleData) -> None:
    assert b"moov" not in find(world, DEMO_FAULTS["truncated"].key).path.read_bytes()
    assert find(world, DEMO_FAULTS["empty_audio"].key).path.stat().st_size == 0


def test_the_corrupted_file_opens_and_breaks_in_the_middle(world: SampleData) -> None:
    path = find(world, DEMO_FAULTS["corrupted"].key).path
    kept, failed = 0, 0
    with av.open(str(path)) as container:
        rate_hz = container.streams.audio[0].rate
        promised = (container.duration or 0) / av.time_base * rate_hz
        for packet in container.demux(audio=0):
            try:
                kept += sum(frame.samples for frame in packet.decode())
            except av.error.FFmpegError:
                failed += 1
    assert failed or kept < promised - 0.1 * rate_hz
    assert kept > promised / 2


def test_these_transcripts_are_missing_alone_or_malformed(world: SampleData) -> None:
    assert find(world, DEMO_FAULTS["no_transcript"].key).transcript is None
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads((world.raw / f"{DEMO_FAULTS['transcript_not_json'].key}.json").read_text())
    assert isinstance(
        json.loads((world.raw / f"{DEMO_FAULTS['segments_not_a_list'].key}.json").read_text())["segments"], dict
    )
    orphan = world.raw / DEMO_FAULTS["orphan_transcript"].key
    assert [path.suffix for path in orphan.parent.glob(orphan.name + ".*")] == [".json"]


def test_lines_are_mistimed_and_misshapen_as_the_table_says(world: SampleData) -> None:
    recording, rows, _ = segments(world, "too_long")
    length_sec = recording.duration_sec or 0

    def row(name: str, offset: int = 0) -> dict:
        return rows[segments(world, name)[2] + offset]

    assert row("negative_start")["start"] < 0
    assert row("overlapping")["start"] < row("overlapped")["end"] - 1
    assert row("reversed")["end"] < row("reversed")["start"]
    assert math.isnan(row("nan_start")["start"])
    assert row("too_long")["end"] - row("too_long")["start"] > 30
    assert row("out_of_range")["start"] > length_sec
    assert row("partly_out_of_range")["start"] < length_sec < row("partly_out_of_range")["end"] - 1

    recording, rows, _ = segments(world, "silent")
    assert row("empty_text")["text"] == ""
    assert row("blank_text")["text"].isspace()
    assert row("too_short")["end"] - row("too_short")["start"] < 0.1
    assert isinstance(row("not_an_object"), str)
    assert "end" not in row("missing_end")
    assert len(row("text_too_long")["text"]) > 60 * (row("text_too_long")["end"] - row("text_too_long")["start"])
    assert len(row("text_too_short")["text"]) < row("text_too_short")["end"] - row("text_too_short")["start"]


def test_lines_sound_as_the_table_says(world: SampleData) -> None:
    def heard(name: str) -> tuple[np.ndarray, int]:
        recording, rows, line = segments(world, name)
        samples, rate_hz = decoded(recording.path)
        return samples[0, round(rows[line]["start"] * rate_hz) : round(rows[line]["end"] * rate_hz)], rate_hz

    assert not heard("silent")[0].any()
    assert np.mean(np.abs(heard("clipped")[0]) > 0.99) > 0.05
    telephone, rate_hz = heard("telephone")
    power = np.abs(np.fft.rfft(telephone * np.hanning(len(telephone)))) ** 2
    above = np.fft.rfftfreq(len(telephone), 1 / rate_hz) > 4000
    assert power[above].sum() < 1e-6 * power.sum()
    assert rms_dbfs(telephone) > -30


# --- building --------------------------------------------------------------------------------------------------


def test_a_second_build_is_byte_for_byte_the_same(world: SampleData, tmp_path: Path) -> None:
    again = generate_sample_data(tmp_path, seconds_scale=SCALE)
    assert again.built
    assert files_below(again.raw) == files_below(world.raw)
    assert not (tmp_path / "raw.partial").exists()

    # Where it already stands it is left alone, what a person did to it included.
    repaired = repair_recording(again, "truncated")
    before = {path: path.stat().st_mtime_ns for path in again.raw.rglob("*")}
    third = generate_sample_data(tmp_path, seconds_scale=SCALE)
    assert not third.built
    assert {path: path.stat().st_mtime_ns for path in third.raw.rglob("*")} == before
    assert decoded(repaired)[0].any()


def test_two_that_build_the_same_folder_at_once_build_it_once(world: SampleData, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: generate_sample_data(tmp_path, seconds_scale=SCALE), range(2)))
    assert sorted(item.built for item in both) == [False, True]
    assert files_below(tmp_path / "raw") == files_below(world.raw)


def test_a_folder_of_another_user_is_not_changed(tmp_path: Path) -> None:
    theirs = tmp_path / "raw" / "mine.wav"
    theirs.parent.mkdir()
    theirs.write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="is not a demo bucket"):
        generate_sample_data(tmp_path)
    assert theirs.read_bytes() == b"precious"


def test_a_scale_that_would_lengthen_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        generate_sample_data(tmp_path, seconds_scale=2)
    assert not list(tmp_path.iterdir())
