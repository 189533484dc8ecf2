import contextlib
import dataclasses
import io
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_assets_tests.bombs import NPZ_BOMBS, npz_of_zeros, run_measured
from voice_assets_tests.core.corpus.small_corpus import speech_like_noise
from voice_core.audio.pcm import to_pcm16
from voice_core.corpus.segment.segment_files import (
    SEGMENT_FIELDS,
    Segment,
    SegmentFileError,
    dump_segment,
    load_segment,
)

# numpy drops trailing NULs of strings, so a transcript with a NUL is rejected earlier.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
SEGMENTS = st.builds(
    Segment,
    audio=st.lists(st.integers(-32768, 32767), max_size=50).map(lambda values: np.array(values, np.int16)),
    text=TEXT, speaker_id=TEXT, gender=TEXT, dialect=TEXT, tone=TEXT,
    duration_sec=st.floats(0, 1e6), audio_id=TEXT,
    codes=st.lists(st.integers(0, 65_535), max_size=20).map(lambda values: np.array(values, np.int32)),
)  # fmt: skip


def segment(**changes: Any) -> Segment:
    audio = to_pcm16(speech_like_noise(0.5))
    labels = {"speaker_id": "s1", "gender": "female", "dialect": "Najdi", "tone": "calm"}
    return dataclasses.replace(Segment(audio, "مرحبا Hello", 0.5, "news/monday", **labels), **changes)


def archive(**changes: Any) -> bytes:
    arrays: dict[str, Any] = {name: getattr(segment(), name) for name in SEGMENT_FIELDS} | changes
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=True, **{name: value for name, value in arrays.items() if value is not None})
    return buffer.getvalue()


def same(first: Segment, second: Segment) -> bool:
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in SEGMENT_FIELDS)


@given(SEGMENTS)
@settings(deadline=None)
def test_a_segment_is_read_back_as_it_was_written(made: Segment) -> None:
    back = load_segment(dump_segment(made), "x.npz")
    assert same(back, made)
    assert back.audio.dtype == np.int16
    assert back.codes.dtype == np.int32


def test_equal_segments_give_equal_bytes_and_others_do_not() -> None:
    assert dump_segment(segment()) == dump_segment(segment())
    assert dump_segment(segment()) != dump_segment(segment(tone="angry"))


def test_numpy_alone_reads_the_nine_arrays() -> None:
    with np.load(io.BytesIO(dump_segment(segment())), allow_pickle=False) as arrays:
        assert sorted(arrays.files) == sorted(SEGMENT_FIELDS)
        assert arrays["audio"].dtype == np.int16
        assert str(arrays["text"]) == "مرحبا Hello"


def test_a_file_of_the_seeds_own_scripts_is_read() -> None:
    audio = speech_like_noise(0.5)
    buffer = io.BytesIO()
    fields = {name: getattr(segment(), name) for name in SEGMENT_FIELDS}
    np.savez_compressed(buffer, **{**fields, "audio": audio, "codes": [], "duration_sec": 0.5})
    back = load_segment(buffer.getvalue(), "seed.npz")
    np.testing.assert_array_equal(back.audio, to_pcm16(audio))
    assert back.codes.shape == (0,)
    assert back.text == "مرحبا Hello"
    assert back.duration_sec == 0.5


class Bomb:
    """Unpickling it creates a folder: a harmless stand-in for a hostile pickle."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", SEGMENT_FIELDS)
def test_a_pickle_in_any_field_is_refused_and_never_run(name: str, tmp_path: Path) -> None:
    array = np.empty(1, object)
    array[0] = Bomb(tmp_path / "owned")
    data = archive(**{name: array})
    with pytest.raises(SegmentFileError, match=r"evil\.npz"):
        load_segment(data, "evil.npz")
    assert not (tmp_path / "owned").exists()
    with np.load(io.BytesIO(data), allow_pickle=True) as arrays:  # the pickle works
        _ = arrays[name]
    assert (tmp_path / "owned").exists()


def test_a_bare_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    import pickle

    with pytest.raises(SegmentFileError):
        load_segment(pickle.dumps(Bomb(tmp_path / "owned")), "x.npz")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("name", SEGMENT_FIELDS)
def test_a_missing_field_is_named(name: str) -> None:
    with pytest.raises(SegmentFileError, match=f"x.npz is not a segment file: {name} is missing"):
        load_segment(archive(**{name: None}), "x.npz")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"audio": np.zeros((2, 100), np.int16)}, r"shape \(2, 100\)"),
        ({"audio": np.zeros(100, np.int32)}, "int32"),
        ({"audio": np.array(["a"])}, "neither int16 nor float"),
        ({"audio": np.array([0.0, np.nan], np.float32)}, "NaN"),
        ({"codes": np.array([1.5])}, "not integers"),
        ({"duration_sec": np.array([1.0, 2.0])}, "x.npz is not a segment file"),
        ({"duration_sec": np.array("soon")}, "soon"),
    ],
)
def test_an_array_of_the_wrong_kind_is_refused_with_what_is_wrong(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(SegmentFileError, match=why):
        load_segment(archive(**changes), "x.npz")


@pytest.mark.parametrize("data", [b"", b"PK", b"garbage" * 50, b"\x93NUMPY\x01\0" + b"x" * 100, b"PK\5\6" + b"\0" * 18])
def test_garbage_is_a_segment_file_error_with_the_files_name(data: bytes) -> None:
    with pytest.raises(SegmentFileError, match=r"^some/key\.npz"):
        load_segment(data, "some/key.npz")


@given(st.floats(0, 0.999))
@settings(deadline=None)
def test_a_truncated_file_is_a_segment_file_error(share: float) -> None:
    data = dump_segment(segment())
    with pytest.raises(SegmentFileError):
        load_segment(data[: int(share * len(data))], "x.npz")


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_a_file_with_corrupt_bytes_is_read_or_is_a_segment_file_error_and_nothing_else(data: st.DataObject) -> None:
    whole = bytearray(dump_segment(segment(audio=np.zeros(4, np.int16))))
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=6)):
        whole[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(SegmentFileError):
        load_segment(bytes(whole), "x.npz")


def test_an_encrypted_archive_is_a_segment_file_error() -> None:
    data = bytearray(dump_segment(segment()))
    at = 0
    while (at := data.find(b"PK\1\2", at)) >= 0:
        data[at + 8] |= 1
        at += 4
    with pytest.raises(SegmentFileError):
        load_segment(bytes(data), "x.npz")


def test_a_member_that_is_not_an_array_is_a_segment_file_error() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name in SEGMENT_FIELDS:
            made.writestr(f"{name}.npy", b"not an array")
    with pytest.raises(SegmentFileError):
        load_segment(buffer.getvalue(), "x.npz")


_LOAD = """
import sys
from voice_core.corpus.segment.segment_files import SegmentFileError, load_segment, read_sample_count
try:
    print(read_sample_count(open(sys.argv[1], "rb"), "x"))
except SegmentFileError as error:
    print(error)
try:
    load_segment(open(sys.argv[1], "rb").read(), "x")
except SegmentFileError as error:
    print(error)
"""


@pytest.mark.parametrize("name", NPZ_BOMBS)
def test_a_zip_bomb_is_refused_before_it_is_unpacked(name: str, tmp_path: Path) -> None:
    NPZ_BOMBS[name](tmp_path / "bomb.npz")
    output, peak_mb = run_measured(_LOAD, str(tmp_path / "bomb.npz"))
    assert "x is not a segment file" in output
    assert peak_mb < 256


def test_the_largest_segment_that_is_read_takes_less_than_a_gigabyte(tmp_path: Path) -> None:
    npz_of_zeros(tmp_path / "a.npz", {"audio": (np.dtype("<f4"), (30_000_000,))})
    output, peak_mb = run_measured(_LOAD, str(tmp_path / "a.npz"))
    assert output == "30000000"
    assert peak_mb < 1_024


@pytest.mark.parametrize("descr", ["<i2", "<U500000000"])
@pytest.mark.parametrize("shape", ["(1000000000000,)", "(9223372036854775807,)", "(-5,)", "(2, 2)"])
def test_an_array_whose_header_promises_more_than_there_is_is_refused(descr: str, shape: str) -> None:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    member = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + b"\0" * 4
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(dump_segment(segment()))) as old, zipfile.ZipFile(buffer, "w") as made:
        for name in SEGMENT_FIELDS:
            made.writestr(f"{name}.npy", member if name == "audio" else old.read(f"{name}.npy"))
    with pytest.raises(SegmentFileError):
        load_segment(buffer.getvalue(), "x.npz")
