import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voice_assets_tests.core.corpus.small_corpus import Floats, room_noise, speech_like_noise, write_audio
from voice_core.audio import pcm
from voice_core.audio.decoding import DecodeReport, decode
from voice_core.audio.header import UnreadableAudioError, probe
from voice_core.audio.pcm import flac_bytes, resample, to_float, to_pcm16


def decoded(source: str | Path | io.BytesIO, rate: int = 24_000) -> tuple[Floats, DecodeReport]:
    report = DecodeReport()
    chunks = list(decode(source, rate, report))
    pcm = np.concatenate(chunks)
    assert pcm.dtype == np.int16
    assert report.sample_count == len(pcm)
    return to_float(pcm), report


def rms_db(samples: Floats) -> float:
    return float(10 * np.log10(np.square(samples).mean()))


def tone(seconds: float, rate: int, level: float = 0.5, hz: float = 440.0) -> Floats:
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize(
    ("extension", "rate", "channels"),
    [
        (".wav", 8_000, 1), (".wav", 16_000, 2), (".wav", 24_000, 1), (".wav", 44_100, 2), (".wav", 48_000, 1),
        (".flac", 8_000, 2), (".flac", 22_050, 1), (".flac", 48_000, 2),
        (".mp3", 16_000, 1), (".mp3", 44_100, 2), (".mp3", 48_000, 1),
        (".opus", 48_000, 2), (".opus", 16_000, 1),
        (".m4a", 16_000, 1), (".m4a", 44_100, 2), (".m4a", 48_000, 1),
    ],
)  # fmt: skip
def test_every_format_keeps_its_length_and_level(extension: str, rate: int, channels: int, tmp_path: Path) -> None:
    path = tmp_path / f"a{extension}"
    write_audio(path, tone(3.0, rate), rate, channels=channels)
    samples, report = decoded(path)
    lossless = extension in (".wav", ".flac")
    assert len(samples) / 24_000 == pytest.approx(3.0, abs=0.001 if lossless else 0.1)
    assert rms_db(samples[12_000:60_000]) == pytest.approx(rms_db(tone(3.0, rate)), abs=0.1 if lossless else 0.6)
    assert report.damages == []
    assert report.info is not None
    # Opus always decodes at 48 kHz, whatever it was made from.
    assert (report.info.sample_rate_hz, report.info.channels) == (48_000 if extension == ".opus" else rate, channels)
    assert report.info.duration_sec == pytest.approx(3.0, abs=0.1)
    assert probe(path) == report.info
    with path.open("rb") as reader:
        assert probe(reader).codec == report.info.codec


@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
def test_the_length_follows_the_requested_rate(rate: int, tmp_path: Path) -> None:
    write_audio(tmp_path / "a.flac", speech_like_noise(2.5, 32_000), 32_000)
    samples, _ = decoded(tmp_path / "a.flac", rate)
    assert len(samples) == pytest.approx(2.5 * rate, abs=2)


def test_audio_at_the_requested_rate_is_unchanged(tmp_path: Path) -> None:
    pcm = to_pcm16(speech_like_noise(2.0))
    soundfile.write(tmp_path / "a.flac", pcm, 24_000)
    samples, _ = decoded(tmp_path / "a.flac")
    np.testing.assert_array_equal(to_pcm16(samples), pcm)


def test_a_down_mix_is_the_mean_of_the_channels(tmp_path: Path) -> None:
    left = tone(1.0, 24_000, 0.8)
    soundfile.write(tmp_path / "a.wav", np.stack([to_pcm16(left), np.zeros(24_000, np.int16)], axis=1), 24_000)
    samples, _ = decoded(tmp_path / "a.wav")
    np.testing.assert_allclose(samples, left / 2, atol=2e-4)


def test_a_full_scale_stereo_file_does_not_clip_in_the_down_mix(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", tone(1.0, 24_000, 0.999), 24_000, channels=2)
    samples, _ = decoded(tmp_path / "a.wav")
    assert np.abs(samples).max() == pytest.approx(0.999, abs=0.002)


def test_chunks_have_the_requested_length(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.flac", speech_like_noise(5.3), 24_000)
    sizes = [len(chunk) for chunk in decode(tmp_path / "a.flac", 24_000, DecodeReport(), chunk_sec=0.5)]
    assert set(sizes[:-1]) == {12_000}
    assert sizes[-1] <= 12_000


def marked(path: Path, seconds: float = 12.0, mark_at: float = 9.0) -> None:
    """Quiet noise, and a loud tone of half a second from `mark_at` on."""
    samples = room_noise(seconds) + 0.05 * speech_like_noise(seconds)
    at = round(mark_at * 24_000)
    samples[at : at + 12_000] += tone(0.5, 24_000, 0.8)
    write_audio(path, samples, 24_000)


def corrupt(path: Path, first: float, last: float) -> None:
    """Overwrite a part of a file, given as shares of its length, with random bytes."""
    data = bytearray(path.read_bytes())
    low, high = int(first * len(data)), int(last * len(data))
    data[low:high] = np.random.default_rng(1).bytes(high - low)
    path.write_bytes(bytes(data))


def loud_from(samples: Floats) -> float:
    """The start of the half second that is loud throughout."""
    level = np.abs(samples[: len(samples) // 240 * 240]).reshape(-1, 240).max(axis=1) > 0.5
    loud = np.convolve(level, np.ones(50), "valid")
    return float(np.argmax(loud)) * 240 / 24_000


def test_a_flac_with_a_damaged_middle_keeps_later_times(tmp_path: Path) -> None:
    marked(tmp_path / "a.flac")
    corrupt(tmp_path / "a.flac", 0.25, 0.5)
    samples, report = decoded(tmp_path / "a.flac")
    assert len(samples) / 24_000 == pytest.approx(12.0, abs=0.05)
    assert loud_from(samples) == pytest.approx(9.0, abs=0.03)
    assert report.damages
    lost = sum(item.stop - item.start for item in report.damages) / 24_000
    assert 1.5 < lost < 5.0
    worst = max(report.damages, key=lambda item: item.stop - item.start)
    assert worst.message
    inside = samples[worst.start + 2_400 : worst.stop - 2_400]
    assert np.abs(inside).max() < 1e-3


@pytest.mark.parametrize(("first", "last"), [(0.25, 0.5), (0.6, 0.61), (0.3, 0.3005)])
def test_any_damage_to_a_flac_is_reported_and_never_decoded_to_noise(first: float, last: float, tmp_path: Path) -> None:
    marked(tmp_path / "a.flac")
    corrupt(tmp_path / "a.flac", first, last)
    samples, report = decoded(tmp_path / "a.flac")
    assert report.damages
    assert np.abs(samples[: 8 * 24_000]).max() < 0.3


@pytest.mark.parametrize("extension", [".wav", ".flac", ".mp3", ".opus", ".ogg"])
def test_a_sound_keeps_its_time_in_every_format_that_records_its_padding(extension: str, tmp_path: Path) -> None:
    samples = room_noise(4.0, 48_000)
    samples[96_000:120_000] += tone(0.5, 48_000, 0.8)
    write_audio(tmp_path / f"a{extension}", samples, 48_000)
    assert loud_from(decoded(tmp_path / f"a{extension}")[0]) == pytest.approx(2.0, abs=0.011)


def test_a_damage_is_reported_before_its_samples_are_yielded(tmp_path: Path) -> None:
    marked(tmp_path / "a.flac")
    corrupt(tmp_path / "a.flac", 0.25, 0.5)
    report = DecodeReport()
    known_at: dict[int, int] = {}
    delivered = 0
    for chunk in decode(tmp_path / "a.flac", 24_000, report):
        delivered += len(chunk)
        for item in report.damages:
            known_at.setdefault(item.start, delivered - len(chunk))
    late = [item for item in report.damages if known_at.get(item.start, delivered) > item.start]
    assert report.damages
    assert late == []


def test_a_truncated_file_yields_its_remaining_audio(tmp_path: Path) -> None:
    marked(tmp_path / "a.flac")
    data = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(data[: len(data) // 2])
    samples, report = decoded(tmp_path / "a.flac")
    assert 3.0 < len(samples) / 24_000 < 9.0
    assert report.info is not None
    assert report.info.duration_sec == pytest.approx(12.0, abs=0.01)


@pytest.mark.parametrize(
    "data",
    [b"", b"RIFF", b"not audio at all " * 100, b"\0" * 100_000, b"fLaC" + b"\xff" * 5000, b"\xff\xfb" * 10],
    ids=["empty", "four-bytes", "text", "zeros", "flac-head", "mp3-sync"],
)
def test_a_file_without_audio_is_unreadable_with_a_message(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    with pytest.raises(UnreadableAudioError) as caught:
        list(decode(path, 24_000, DecodeReport()))
    assert str(caught.value)


def test_a_file_without_a_single_sample_is_unreadable(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0, np.int16), 24_000)
    with pytest.raises(UnreadableAudioError):
        list(decode(tmp_path / "a.wav", 24_000, DecodeReport()))


@pytest.mark.parametrize("extension", ["wav", "mp3", "m3u8"])
def test_a_playlist_is_refused_and_its_entries_are_never_opened(extension: str, tmp_path: Path) -> None:
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            return

    write_audio(tmp_path / "secret.wav", tone(1.0, 24_000), 24_000)
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/x.wav"
        lists = [
            f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{url}\n#EXT-X-ENDLIST\n",
            f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{tmp_path}/secret.wav\n#EXT-X-ENDLIST\n",
            "ffconcat version 1.0\nfile secret.wav\n",
            f"ffconcat version 1.0\nfile '{url}'\n",
        ]
        for number, text in enumerate(lists):
            path = tmp_path / f"list{number}.{extension}"
            path.write_text(text)
            with pytest.raises(UnreadableAudioError):
                list(decode(path, 24_000, DecodeReport()))
            with pytest.raises(UnreadableAudioError):
                probe(io.BytesIO(text.encode()))
        server.shutdown()
    assert asked == []


@pytest.mark.parametrize("name", ["http:x.wav", "concat:a.wav|b.wav", "-i.wav", "أثير نشرة.wav", "50%.wav", "a#b?.wav"])
def test_a_file_name_is_never_interpreted_as_a_protocol(name: str, tmp_path: Path) -> None:
    write_audio(tmp_path / name, tone(1.0, 24_000), 24_000)
    samples, _ = decoded(tmp_path / name)
    assert len(samples) == 24_000


@pytest.mark.parametrize(("from_hz", "to_hz"), [(24_000, 16_000), (16_000, 24_000), (44_100, 24_000), (48_000, 8_000)])
@pytest.mark.parametrize("count", [1, 7, 480, 10_001])
def test_resampling_gives_exactly_the_documented_length(from_hz: int, to_hz: int, count: int) -> None:
    out = resample(np.full(count, 0.1, np.float32), from_hz, to_hz)
    assert len(out) == -(-count * to_hz // from_hz)
    assert out.dtype == np.float32


def test_resampling_keeps_a_tone_and_its_level() -> None:
    out = resample(tone(1.0, 48_000), 48_000, 16_000)
    np.testing.assert_allclose(out[1000:-1000], tone(1.0, 16_000)[1000:-1000], atol=0.01)
    assert len(resample(np.zeros(0, np.float32), 48_000, 16_000)) == 0


def test_audio_above_full_scale_saturates_and_does_not_wrap_around() -> None:
    pcm = to_pcm16(np.array([2.0, 1.00001, -1.5, 0.99], np.float32))
    assert pcm.tolist() == [32767, 32767, -32768, 32440]


def test_pcm_is_unchanged_by_conversion_to_float_and_flac() -> None:
    pcm = np.arange(-32768, 32768, dtype=np.int32).astype(np.int16)
    np.testing.assert_array_equal(to_pcm16(to_float(pcm)), pcm)
    back, rate = soundfile.read(io.BytesIO(flac_bytes(pcm, 24_000)), dtype="int16")
    np.testing.assert_array_equal(back, pcm)
    assert rate == 24_000


def test_an_mp3_can_be_decoded() -> None:
    samples, _ = decoded(io.BytesIO(pcm.mp3_bytes(tone(1.0, 24_000), 24_000)))
    assert len(samples) / 24_000 == pytest.approx(1.0, abs=0.1)
    assert rms_db(samples[4_800:-4_800]) == pytest.approx(rms_db(tone(1.0, 24_000)), abs=0.5)
