"""What is missing, changed or unusual: a clear error, or a warning, and nothing half committed."""

import dataclasses
import errno
import io
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from voice_assets_tests.core.audiobook.master.conftest import BOOK, BookBuilder, decode, row_of
from voice_assets_tests.core.audiobook.master.pictures import make_picture, make_png
from voice_core.audiobook import audio_manifest, audiobook_stage
from voice_core.audiobook.audio_manifest import read_audio_manifest
from voice_core.audiobook.audiobook_checks import files_are_sound, limiter_is_rare, marks_fit
from voice_core.audiobook.audiobook_manifest import read_audiobook_manifest
from voice_core.audiobook.chunk_manifest import read_book_manifest
from voice_core.audiobook.mastering.limiter import Limiter
from voice_core.audiobook.output.encoders import aac, encode_audio
from voice_core.audiobook.output.m4b import BookTags, EncodedChapter, write_m4b
from voice_core.layout import manifest_key


def test_without_text_or_speech_the_stage_to_run_is_named(tale: BookBuilder) -> None:
    with pytest.raises(LookupError, match=r"text of the book tale does not exist in .*materialize book_chunks"):
        tale.build()
    tale.write()
    speech = read_audio_manifest(tale.work, BOOK)
    assert speech is not None
    key = manifest_key(audio_manifest.STAGE, BOOK)
    tale.work.put(key, dataclasses.replace(speech, complete=False).to_bytes())
    with pytest.raises(LookupError, match=r"speech of the book tale is incomplete in .*materialize chunk_audio"):
        tale.build()
    tale.work.put(key, dataclasses.replace(speech, rows=speech.rows[:-1]).to_bytes())
    with pytest.raises(LookupError, match=r"older than its text: 1 chunk without .*, the first is 003-0002"):
        tale.build()
    assert read_audiobook_manifest(tale.work, BOOK) is None


def test_a_book_without_speech_is_an_error(tale: BookBuilder) -> None:
    tale.silent = {row.chunk_id for row in tale.rows}
    tale.write()
    with pytest.raises(ValueError, match="tale has no chapter with speech: of its 5 chunks none was spoken"):
        tale.build()
    assert not tale.files()


def test_a_chunk_without_speech_is_left_out_and_the_rest_fits(tale: BookBuilder) -> None:
    tale.silent = {"001-0002"}
    tale.write()
    manifest = tale.build("m4b", "vtt", "epub").manifest
    text, speech = read_book_manifest(tale.work, BOOK), read_audio_manifest(tale.work, BOOK)
    assert text is not None
    assert speech is not None
    outcome = marks_fit(manifest, text, speech)
    assert outcome.passed, outcome.message
    assert outcome.figures["sentences"] == 4


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_speech_that_is_missing_or_changed_is_named_with_the_command(tale: BookBuilder, damage: str) -> None:
    tale.write()
    speech = read_audio_manifest(tale.work, BOOK)
    assert speech is not None
    key = speech.rows[1].key
    if damage == "missing":
        tale.work.delete([key])
    else:
        tale.work.put(key, tale.work.get(speech.rows[0].key))
    with pytest.raises(ValueError, match=r"voice audiobook build tale --verify` to speak chunk 001-0002") as caught:
        tale.build()
    assert key in str(caught.value)
    manifest = read_audiobook_manifest(tale.work, BOOK)
    assert manifest is not None
    assert not manifest.complete
    tale.write()  # spoken again
    assert files_are_sound(tale.work, tale.build().manifest).passed


@pytest.mark.parametrize("cover", [b"GIF89a" + bytes(100), b"\xff\xd8\xff" + bytes(100), b""])
def test_a_cover_that_cannot_be_used_is_left_out_with_a_warning(tale: BookBuilder, cover: bytes) -> None:
    tale.cover = cover or make_png(12_000, 2_500)  # 90 MB of pixels
    tale.write()
    manifest = tale.build("m4b", "epub").manifest
    assert "is neither a JPEG nor a PNG image that can be read; it is left out" in manifest.warnings[0]
    with av.open(io.BytesIO(tale.work.get(row_of(manifest, "m4b")))) as container:
        assert not container.streams.video


@pytest.mark.parametrize("codec", ["mjpeg", "png"])
def test_the_m4b_has_chapters_cover_and_tags(tale: BookBuilder, codec: str) -> None:
    tale.cover = make_picture(codec)
    tale.metadata |= {"date": "1935", "description": "About <salt>"}
    tale.write()
    manifest = tale.build("m4b", narrator="Nia").manifest
    data = tale.work.get(row_of(manifest, "m4b"))
    assert data[4:12] == b"ftypM4B "
    with av.open(io.BytesIO(data)) as container:
        chapters = container.chapters()
        assert container.metadata.items() >= {"title": "A Tale", "artist": "Ann Author", "composer": "Nia"}.items()
        picture = next(container.demux(video=0))
        assert bytes(picture) == tale.cover
    assert [item["metadata"]["title"] for item in chapters] == ["The Start", "The <End> & more"]
    second = chapters[1]["start"] * chapters[1]["time_base"]
    assert abs(second - Fraction(manifest.chapter_starts()[3], tale.rate_hz)) <= Fraction(1, 1000)


def test_a_book_of_more_than_255_chapters_has_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "chapter.m4a"
    encode_audio(path, [np.zeros(4096, np.int16)], 24_000, aac(32, 24_000))
    chapters = [EncodedChapter(f"Chapter {number}", 4096, partial(path.open, "rb")) for number in range(300)]
    write_m4b(tmp_path / "book.m4b", chapters, 24_000, BookTags("Long"), None)
    data = (tmp_path / "book.m4b").read_bytes()
    assert b"chpl" not in data
    with av.open(io.BytesIO(data)) as container:
        found = container.chapters()
    assert [item["metadata"]["title"] for item in found] == [item.title for item in chapters]
    assert len(decode(data)) == 300 * 4096
    write_m4b(tmp_path / "short.m4b", chapters[:255], 24_000, BookTags("Short"), None)
    assert b"chpl" in (tmp_path / "short.m4b").read_bytes()


def test_a_full_disk_commits_nothing(tale: BookBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    tale.write()
    first = tale.build("m4b")
    tale.rows[0] = dataclasses.replace(tale.rows[0], text="Chapter two.", spoken_text="Chapter two.")
    tale.write()

    def fail(*args: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("voice_core.audiobook.output.book_files.write_m4b", fail)
        with pytest.raises(OSError, match="No space left"):
            tale.build("m4b")
    manifest = read_audiobook_manifest(tale.work, BOOK)
    assert manifest is not None
    assert not manifest.complete
    assert manifest.masters.keys() <= first.manifest.masters.keys()
    assert not [name for name in tale.files() if ".part" in name]
    assert files_are_sound(tale.work, tale.build("m4b").manifest).passed


def test_an_encoder_on_a_full_disk_raises_os_error() -> None:
    noise = np.random.default_rng(0).integers(-9000, 9000, 1 << 20).astype(np.int16)
    with pytest.raises(OSError, match="No space left"):
        encode_audio(Path("/dev/full"), [noise], 24_000, dataclasses.replace(aac(64, 24_000), movflags=""))


def test_loud_speech_is_limited_and_counted(tale: BookBuilder) -> None:
    tale.gain_db = 12.0
    tale.write()
    manifest = tale.build("flac").manifest
    peak = np.abs(decode(tale.work.get(row_of(manifest, "flac", 1)))).max()
    assert 20 * np.log10(peak) <= -3.5 + 1e-3
    outcome = limiter_is_rare(manifest)
    assert not outcome.passed
    assert outcome.warning
    assert outcome.figures["limited_share"] == pytest.approx(manifest.limited_share, abs=1e-6)


def test_the_limiter_keeps_the_length_and_counts_what_it_changes() -> None:
    audio = np.random.default_rng(0).normal(0, 0.05, 100_000)
    audio[50_000:50_010] = 0.9
    for size in (1000, 4096, 77_777):
        limiter = Limiter(24_000, -6.0)
        out = np.concatenate([*limiter.run(audio[at : at + size] for at in range(0, len(audio), size))])
        assert len(out) == limiter.samples == len(audio)
        assert np.abs(out).max() <= 0.502
        changed = np.abs(out - audio) > 1e-9
        assert limiter.limited == changed.sum()
        assert 0 < limiter.limited < 0.1 * len(audio)
        assert np.flatnonzero(changed).min() > 49_000


def test_a_voice_without_a_gain_is_an_error(tale: BookBuilder) -> None:
    tale.write()
    speech = read_audio_manifest(tale.work, BOOK)
    assert speech is not None
    changed = dataclasses.replace(speech, gains_db={})
    tale.work.put(manifest_key(audio_manifest.STAGE, BOOK), changed.to_bytes())
    with pytest.raises(ValueError, match="has no gain of the voice 'default'"):
        tale.build()


def test_a_title_of_any_characters_gives_valid_keys(builder: BookBuilder) -> None:
    builder.title = "../a/b\\c: d?*" + "x" * 300
    builder.add_chapter("..", ["Hello."])
    builder.add_chapter("/" * 200, ["Hello again."])
    builder.write()
    manifest = builder.build("m4b", "epub", "mp3", "vtt", "audiobookshelf").manifest
    assert files_are_sound(builder.work, manifest).passed
    assert all(row.key.startswith("audiobooks/tale/") and ".." not in row.key for row in manifest.rows)


def test_the_lock_is_held_while_a_book_is_built(tale: BookBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    tale.write()
    held = []
    commit = audiobook_stage.commit_manifest

    def look(*args: Any) -> None:
        held.append(args[0].fence)
        commit(*args)

    monkeypatch.setattr(audiobook_stage, "commit_manifest", look)
    tale.build("vtt")
    assert held[0] is not None


def test_a_cover_file_that_is_missing_or_changed_is_named(tale: BookBuilder) -> None:
    tale.cover = make_picture("png")
    tale.write()
    text = read_book_manifest(tale.work, BOOK)
    assert text is not None
    tale.work.put(text.cover, make_picture("mjpeg"))
    with pytest.raises(ValueError, match=r"cover\.jpg is not the file that was committed: run `voice audiobook build"):
        tale.build()
    tale.work.delete([text.cover])
    with pytest.raises(ValueError, match=r"cover\.jpg is missing"):
        tale.build()
