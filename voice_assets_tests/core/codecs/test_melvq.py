"""MelVQ keeps the promises of `Codec`, and keeps speech recognisable as that speech."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hibari import Hibari
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from voice_core.codecs import CODECS, load_codec
from voice_core.codecs.base import Audio, Codec
from voice_core.codecs.melvq import CODEBOOK_PATH, HOP, SAMPLE_RATE_HZ, MelVQ, log_mel

TEXTS = (
    "The lamp beside the window flickered twice and went out.",
    "Bring three boxes of yellow chalk to the judge's office, please.",
    "Why would anyone measure a fog bank with such a cheap ruler?",
)


@pytest.fixture(scope="module")
def codec() -> MelVQ:
    return MelVQ()


@pytest.fixture(scope="module")
def speech() -> list[Audio]:
    tts = Hibari()
    return [tts(text, seed=0) for text in TEXTS]


def noise(sample_count: int, seed: int = 0) -> Audio:
    return np.random.default_rng(seed).normal(0, 0.1, sample_count).astype(np.float32)


def rms_dbfs(audio: Audio) -> float:
    return float(10 * np.log10(np.square(audio, dtype=np.float64).mean() + 1e-20))


def test_it_is_a_codec_of_neucodecs_rate_and_range_and_is_marked_as_a_stand_in(codec: MelVQ) -> None:
    assert isinstance(codec, Codec)
    assert (codec.name, codec.stand_in) == ("melvq", True)
    assert (codec.input_sample_rate_hz, codec.output_sample_rate_hz) == (24_000, 24_000)
    assert (codec.codes_per_sec, codec.codebook_size) == (50, 65_536)


@given(sample_count=st.integers(0, 3 * SAMPLE_RATE_HZ))
@settings(max_examples=40, deadline=None)
def test_every_length_gives_the_promised_codes_and_decodes_to_whole_frames(sample_count: int) -> None:
    codec = MelVQ()
    [codes] = codec.encode([noise(sample_count)])
    assert codes.dtype == np.int32
    assert codes.shape == (codec.code_count(sample_count),)
    assert codec.code_count(sample_count) * HOP - sample_count in range(HOP)
    assert ((codes >= 0) & (codes < codec.codebook_size)).all()
    [audio] = codec.decode([codes[:5]])
    assert (audio.dtype, audio.shape) == (np.float32, (min(5, len(codes)) * HOP,))


@pytest.mark.parametrize("sample_count", [0, 1, HOP - 1, HOP, HOP + 1])
def test_the_shortest_clips_make_the_round_trip(codec: MelVQ, sample_count: int) -> None:
    [audio] = codec.decode(codec.encode([noise(sample_count)]))
    assert audio.shape == (codec.code_count(sample_count) * HOP,)


def test_a_clips_codes_do_not_depend_on_its_batch(codec: MelVQ, speech: list[Audio]) -> None:
    together = codec.encode([*speech, noise(700), *reversed(speech)])
    alone = [codec.encode([clip])[0] for clip in speech]
    for first, last, single in zip(together, reversed(together), alone, strict=False):
        np.testing.assert_array_equal(first, single)
        np.testing.assert_array_equal(last, single)


def test_decoding_repeats_bit_for_bit_and_does_not_depend_on_the_batch(codec: MelVQ, speech: list[Audio]) -> None:
    codes = codec.encode(speech)
    together = codec.decode(codes)
    for clip_codes, audio in zip(codes, together, strict=True):
        np.testing.assert_array_equal(MelVQ().decode([clip_codes])[0], audio)


def test_speech_uses_many_different_codes(codec: MelVQ, speech: list[Audio]) -> None:
    codes = np.concatenate(codec.encode(speech))
    assert len(np.unique(codes)) > 250
    assert len(np.unique(codes // 256)) > 80
    assert len(np.unique(codes % 256)) > 80


@pytest.mark.parametrize("gain_db", [-20.0, 0.0, 6.0])
def test_the_round_trip_keeps_spectrum_and_level(codec: MelVQ, speech: list[Audio], gain_db: float) -> None:
    for clip in speech:
        clip = clip * np.float32(10 ** (gain_db / 20))
        audio = codec.decode(codec.encode([clip]))[0][: len(clip)]
        before, after = log_mel(clip) * 10 / np.log(10), log_mel(audio) * 10 / np.log(10)
        assert abs(rms_dbfs(audio) - rms_dbfs(clip)) < 2.0
        assert np.abs(before - after).mean() < 5.5  # dB; a clip against another one: over 12
        assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.9


def test_silence_stays_silent(codec: MelVQ) -> None:
    [audio] = codec.decode(codec.encode([np.zeros(SAMPLE_RATE_HZ, np.float32)]))
    assert rms_dbfs(audio) < -60


def test_clipped_audio_keeps_its_level(codec: MelVQ, speech: list[Audio]) -> None:
    clipped = np.clip(speech[0] * 10, -1, 1)
    [audio] = codec.decode(codec.encode([clipped]))
    assert np.abs(audio).max() <= 1.0
    assert abs(rms_dbfs(audio[: len(clipped)]) - rms_dbfs(clipped)) < 3.0


def test_audio_beyond_full_scale_decodes_within_it(codec: MelVQ, speech: list[Audio]) -> None:
    [audio] = codec.decode(codec.encode([np.sign(speech[0]) * 4]))
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() <= 1.0
    assert rms_dbfs(audio) > -15


def test_any_codes_decode_to_finite_audio(codec: MelVQ) -> None:
    codes = np.random.default_rng(0).integers(0, codec.codebook_size, 200)
    [audio] = codec.decode([codes.astype(np.int32)])
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() <= 1.0


def test_a_long_clip_is_encoded_as_its_parts_are_in_bounded_memory(codec: MelVQ, speech: list[Audio]) -> None:
    unit = speech[0][: len(speech[0]) // HOP * HOP]
    unit_frames = len(unit) // HOP
    clip = np.tile(unit, 60)
    tracemalloc.start()
    [codes] = codec.encode([clip])
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 40e6
    repeats = codes.reshape(60, unit_frames)[:, 2:-2]
    assert (repeats == repeats[0]).mean() > 0.999


def test_blocks_of_a_long_decode_join_without_a_click(codec: MelVQ, speech: list[Audio]) -> None:
    once = np.concatenate(codec.encode(speech))
    [audio] = codec.decode([np.tile(once, 1 + 1_600 // len(once))])
    steps, period = np.abs(np.diff(audio)), len(once) * HOP
    seam = np.arange(1_490 * HOP, 1_500 * HOP)
    assert seam[0] > period  # the same speech is also found a period earlier, away from any seam
    assert steps[seam].max() < 1.5 * steps[seam - period].max()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_audio_that_is_not_finite_is_refused_with_the_clips_index(codec: MelVQ, bad: float) -> None:
    clip = noise(1_000)
    clip[321] = bad
    with pytest.raises(ValueError, match=r"Clip 1: sample 321 .*finite"):
        codec.encode([noise(1_000), clip])


@pytest.mark.parametrize("clip", [np.zeros((2, 480), np.float32), np.zeros(480, np.int16)])
def test_other_than_mono_floats_is_refused(codec: MelVQ, clip: Audio) -> None:
    with pytest.raises(ValueError, match="Clip 0: expected mono floats"):
        codec.encode([clip])


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.array([3, 65_536], np.int32), r"Codes 0: code 65536 at frame 1 is outside 0…65535"),
        (np.array([-1], np.int32), r"Codes 0: code -1 at frame 0"),
        (np.array([1.0], np.float32), r"Codes 0: expected integers"),
        (np.zeros((1, 4), np.int32), r"Codes 0: expected integers of shape \[frames\]"),
    ],
)
def test_codes_that_are_none_are_refused(codec: MelVQ, codes: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        codec.decode([codes])


def test_the_revision_follows_the_codebook_files_content(codec: MelVQ, tmp_path: Path) -> None:
    copy, changed = tmp_path / "copy.npz", tmp_path / "changed.npz"
    copy.write_bytes(CODEBOOK_PATH.read_bytes())
    arrays = dict(np.load(CODEBOOK_PATH))
    arrays["first"][0, 0] += 1
    np.savez(changed, **arrays)
    assert MelVQ(copy).revision == codec.revision
    assert MelVQ(changed).revision != codec.revision


def test_a_codebook_file_of_other_shapes_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "small.npz"
    np.savez(path, first=np.zeros((4, 4)), second=np.zeros((4, 4)), gain=np.zeros(4))
    with pytest.raises(ValueError, match=r"small\.npz.*train it again"):
        MelVQ(path)


def test_the_shipped_codebooks_are_small() -> None:
    assert CODEBOOK_PATH.stat().st_size < 200_000


def test_training_again_with_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    from benchmarks import train_melvq

    files = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for path in files:
        train_melvq.main(output=path, sentence_count=12, frame_count=1_500, rounds=1, joint_rounds=1, seed=3)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert MelVQ(files[0]).revision == MelVQ(files[1]).revision


def test_the_training_script_explains_itself() -> None:
    import typer

    from benchmarks import train_melvq

    app = typer.Typer()
    app.command()(train_melvq.main)
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120", "NO_COLOR": "1"})
    assert shown.exit_code == 0
    assert "Speak, vary, cluster" in shown.output


def test_the_registry_loads_a_codec_once_and_lists_names_for_an_unknown_one() -> None:
    assert set(CODECS) >= {"melvq"}
    assert load_codec("melvq") is load_codec("melvq")
    with pytest.raises(ValueError, match=r'codec: unknown codec; known: .*melvq.*"none"'):
        load_codec("mp3")
