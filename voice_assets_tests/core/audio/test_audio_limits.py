"""Recordings outside of the limits, and false claims in headers."""

import dataclasses
import io
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from voice_assets_tests import bombs
from voice_assets_tests.bombs import AUDIO_BOMBS, run_measured
from voice_assets_tests.core.corpus.small_corpus import speech_like_noise, write_audio
from voice_core.audio.decoding import DecodeReport, decode
from voice_core.audio.header import (
    DEFAULT_LIMITS,
    AudioInfo,
    OutOfLimitsError,
    UnreadableAudioError,
    find_exceeded_limit,
    probe,
)
from voice_core.settings import AudioSettings

SOUND = AudioInfo("wav", "pcm_s16le", 24_000, 1, 60.0)

_DECODE = """
import sys
from voice_core.audio.decoding import DecodeReport, decode
from voice_core.audio.header import UnreadableAudioError, probe
try:
    probe(sys.argv[1])
    print(sum(map(len, decode(sys.argv[1], 24_000, DecodeReport()))) // 24_000)
except UnreadableAudioError as error:
    print(error.reason, error)
"""


def limits(**changes: float) -> AudioSettings:
    return AudioSettings(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "size", "reason", "value", "setting"),
    [
        ({"sample_rate_hz": 3_999}, 0, "sample_rate_too_low", 3_999, "VOICE_AUDIO__MIN_SAMPLE_RATE_HZ is 4,000"),
        ({"sample_rate_hz": 400_000}, 0, "sample_rate_too_high", 400_000, "VOICE_AUDIO__MAX_SAMPLE_RATE_HZ is 384,000"),
        ({"channels": 33}, 0, "too_many_channels", 33, "VOICE_AUDIO__MAX_CHANNELS is 32"),
        ({"duration_sec": 90_000.0}, 0, "recording_too_long", 25.0, "VOICE_AUDIO__MAX_HOURS is 24"),
        ({"duration_sec": 86_000.0}, 8_600, "too_few_bytes", 0.1, "VOICE_AUDIO__MIN_BYTES_PER_SEC is 20"),
    ],
)
def test_a_header_outside_of_the_limits_is_rejected_with_the_value_and_the_setting(
    changes: dict[str, float], size: int, reason: str, value: float, setting: str
) -> None:
    broken = find_exceeded_limit(dataclasses.replace(SOUND, **changes), size, DEFAULT_LIMITS)  # type: ignore[arg-type]
    assert broken is not None
    assert (broken.reason, broken.value) == (reason, value)
    assert setting in str(broken)
    assert find_exceeded_limit(SOUND, 10_000, DEFAULT_LIMITS) is None


@pytest.mark.parametrize("name", AUDIO_BOMBS)
def test_no_audio_file_takes_a_gigabyte(name: str, tmp_path: Path) -> None:
    AUDIO_BOMBS[name](tmp_path / name)
    _, peak_mb = run_measured(_DECODE, str(tmp_path / name))
    assert peak_mb < 1_024


def test_a_recording_without_a_duration_in_its_header_ends_at_the_limit(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.mp3", speech_like_noise(30.0), 24_000)
    report = DecodeReport()
    with pytest.raises(OutOfLimitsError) as caught:
        for _ in decode(tmp_path / "a.mp3", 24_000, report, limits=limits(max_hours=20 / 3600)):
            pass
    assert caught.value.reason == "recording_too_long"
    bombs.false_length_flac(tmp_path / "a.flac", hours=5 / 3600, seconds=30.0)
    with pytest.raises(OutOfLimitsError):
        for _ in decode(tmp_path / "a.flac", 24_000, report, limits=limits(max_hours=20 / 3600)):
            pass
    assert 19 * 24_000 < report.sample_count < 22 * 24_000


def test_a_gap_up_to_the_limit_becomes_silence_and_after_a_longer_one_the_rest_is_damage(tmp_path: Path) -> None:
    bombs.timestamp_gaps(tmp_path / "a.mka", packets=5, gap_sec=30.0)
    report = DecodeReport()
    total = sum(map(len, decode(tmp_path / "a.mka", 24_000, report)))
    assert total / 24_000 == pytest.approx(4 * 30.0, abs=0.5)
    assert len(report.damages) == 4
    report = DecodeReport()
    total = sum(map(len, decode(tmp_path / "a.mka", 24_000, report, limits=limits(max_gap_sec=20.0))))
    assert total / 24_000 < 1.0
    (damage,) = report.damages
    assert damage.stop == total
    assert "jump by 30.0 s; VOICE_AUDIO__MAX_GAP_SEC is 20" in damage.message


def test_1_000_long_gaps_do_not_become_166_hours_of_silence(tmp_path: Path) -> None:
    bombs.timestamp_gaps(tmp_path / "a.mka")
    report = DecodeReport()
    assert sum(map(len, decode(tmp_path / "a.mka", 24_000, report, limits=limits(max_hours=1_000)))) < 60 * 24_000
    assert len(report.damages) == 1


def test_zeros_after_the_sound_are_not_read_to_the_end(tmp_path: Path) -> None:
    bombs.mp3_with_trailing_zeros(tmp_path / "a.mp3", size=300_000_000)
    report = DecodeReport()
    total = sum(map(len, decode(tmp_path / "a.mp3", 24_000, report)))
    assert total / 24_000 == pytest.approx(20.0, abs=0.2)
    assert "no audio in 96 MiB" in report.damages[-1].message


def test_an_mp4_with_more_streams_than_allowed_is_unreadable(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.m4a"), "w", format="mp4") as container:
        for stream in [container.add_stream("aac", rate=24_000, layout="mono") for _ in range(9)]:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1_024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 24_000
            container.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(UnreadableAudioError, match="max_streams"):
        probe(tmp_path / "a.m4a")
    assert probe(tmp_path / "a.m4a", limits(max_streams=9)).codec == "aac"


def test_a_stream_with_the_highest_rate_stays_small(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((384_000, 8), np.int16), 384_000)
    said, peak_mb = run_measured(_DECODE, str(tmp_path / "a.wav"))
    assert said == "1"
    assert peak_mb < 256


def test_an_error_of_the_store_while_a_header_is_read_is_raised(tmp_path: Path) -> None:
    class Breaking(io.BytesIO):
        """Fails in the second half of the file, as a bucket that is out of reach."""

        def read(self, size: int | None = -1) -> bytes:
            if self.tell() >= len(self.getbuffer()) // 2:
                raise OSError("out of reach")
            return super().read(size)

    write_audio(tmp_path / "a.ogg", speech_like_noise(60.0), 24_000)
    data = (tmp_path / "a.ogg").read_bytes()
    assert probe(io.BytesIO(data)).duration_sec == pytest.approx(60.0, abs=0.1)
    with pytest.raises(UnreadableAudioError, match="out of reach"):
        probe(Breaking(data))
