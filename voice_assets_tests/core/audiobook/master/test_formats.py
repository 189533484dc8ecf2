"""Each chapter as FLAC, Opus, MP3 and ACX's MP3; the recording for the voice dataset; Audiobookshelf's folder."""

import dataclasses
import functools
import io
import json
from pathlib import Path

import av
import numpy as np
import pytest

from voice_assets_tests.core.audiobook.master.conftest import BOOK, BookBuilder, decode, make_settings, row_of, speak
from voice_assets_tests.core.audiobook.master.pictures import make_picture
from voice_core.audio.pcm import to_float
from voice_core.audiobook import chapter_job
from voice_core.audiobook.audiobook_checks import acx_is_met, files_are_sound
from voice_core.audiobook.mastering.assembly import ChunkSpan
from voice_core.audiobook.mastering.master import MasteredChapter
from voice_core.audiobook.output.acx import split_chapter
from voice_core.corpus.ingest.discovery import discover
from voice_core.corpus.ingest.transcript_types import Line
from voice_core.corpus.ingest.transcripts import parse_transcript
from voice_core.storage.store import Store


def test_every_format_has_the_whole_chapter_and_its_tags(tale: BookBuilder) -> None:
    tale.write()
    manifest = tale.build("flac", "opus", "mp3").manifest
    flac = decode(tale.work.get(row_of(manifest, "flac", 3)))
    assert len(flac) == manifest.masters[3].sample_count
    span = manifest.masters[3].spans[1]
    pcm, _ = speak("Morning came at last.")
    expected = to_float(pcm)[span.lead : span.lead + span.count]
    assert np.abs(flac[span.start : span.end] - expected).max() <= 1 / 32768
    for name in ("flac", "opus", "mp3"):
        data = tale.work.get(row_of(manifest, name, 3))
        with av.open(io.BytesIO(data)) as container:
            tags = {**container.metadata, **container.streams.audio[0].metadata}
            tags = {key.lower(): value for key, value in tags.items()}
        assert (tags["title"], tags["album"]) == ("The <End> & more", "A Tale")
    assert files_are_sound(tale.work, manifest).passed


def test_files_for_acx_meet_its_limits_by_an_independent_measure(tale: BookBuilder) -> None:
    tale.write()
    manifest = tale.build("acx").manifest
    outcome = acx_is_met(manifest)
    assert outcome.passed, outcome.message
    for chapter in (1, 3):
        data = tale.work.get(row_of(manifest, "acx", chapter))
        with av.open(io.BytesIO(data)) as container:
            stream = container.streams.audio[0]
            assert (stream.rate, stream.channels, stream.codec_context.name) == (44_100, 1, "mp3float")
            sizes = {packet.size for packet in container.demux(stream) if packet.size}
        assert max(sizes) - min(sizes) <= 1  # a constant bit rate
        assert 8 * np.mean([*sizes]) * 44_100 / 1152 == pytest.approx(192_000, rel=0.01)
        audio = decode(data)
        rms = 10 * np.log10(np.mean(np.square(audio)))
        assert -23 <= rms <= -18
        assert 20 * np.log10(np.abs(audio).max()) <= -3
        loud = np.flatnonzero(np.abs(audio) > 0.001) / 44_100
        assert 0.5 <= loud[0] <= 1
        assert 1 <= len(audio) / 44_100 - loud[-1] <= 5
        assert np.sqrt(np.mean(np.square(audio[: 44_100 // 2]))) <= 0.001


def test_a_chapter_outside_of_the_limits_is_named(tale: BookBuilder) -> None:
    tale.write()
    outcome = acx_is_met(tale.build("acx", chapter_head_sec=0.1).manifest)
    assert not outcome.passed
    assert "001 The Start.mp3: silence at the beginning (chapter_head_sec) 0.1" in outcome.message


def test_a_chapter_beyond_120_minutes_is_split_between_chunks() -> None:
    spans = [ChunkSpan(24_000 * (1 + 10 * number), 24_000 * 9, 0) for number in range(1000)]
    master = MasteredChapter("", spans[-1].end + 48_000, 0, spans)
    parts = split_chapter(master, 24_000)
    assert len(parts) == 2
    assert all(part.sample_count <= 7200 * 24_000 for part in parts)
    assert {part.start for part in parts} <= {span.start for span in spans}
    assert (parts[0].start, parts[-1].end) == (spans[0].start, spans[-1].end)
    assert spans[[span.end for span in spans].index(parts[0].end) + 1].start == parts[1].start


def test_the_recording_is_a_raw_folder_of_the_voice_dataset(tale: BookBuilder, tmp_path: Path) -> None:
    tale.write()
    manifest = tale.build("recording").manifest
    raw = Store(f"{tale.work.url}/audiobooks/{BOOK}/recording")
    found = discover(raw, Store(f"file://{tmp_path}/corpus", create=True), make_settings("recording"))
    assert not found.listing.strays
    assert set(found.listing.recordings) == {("tale", "chapter-001"), ("tale", "chapter-003")}
    listed = found.listing.recordings["tale", "chapter-001"]
    assert listed.transcript is not None
    data = raw.get(listed.transcript.key)
    transcript = parse_transcript(data, listed.transcript.key)
    assert (transcript.format, transcript.language) == ("native", "en")
    lines = [line for line in transcript.lines if isinstance(line, Line)]
    assert [line.text for line in lines] == [
        "Chapter one.", "It was late.", "Nobody came.", "The lamp went out, and then on."
    ]  # fmt: skip
    assert {line.speaker_id for line in lines} == {"default"}
    spans = manifest.masters[1].spans
    assert [round(line.start_sec * tale.rate_hz) for line in lines if line.index != 2] == [item.start for item in spans]
    traced = [(item["book"], item["chunk_id"], item["sentence"]) for item in json.loads(data)["segments"]]
    assert traced[2] == ("tale", "001-0002", 1)
    assert (found.batches[0].recordings[0].duration_sec or 0) == pytest.approx(
        manifest.masters[1].sample_count / tale.rate_hz
    )


def test_audiobookshelf_gets_its_folder(tale: BookBuilder) -> None:
    tale.metadata |= {"authors": ["Ann Author", "Bo Other"], "date": "1935", "publisher": "P"}
    tale.cover = make_picture("png")
    tale.write()
    manifest = tale.build("audiobookshelf", narrator="Nia").manifest
    folder = "audiobookshelf/Ann Author and Bo Other/A Tale/"
    names = {name.removeprefix(folder) for name in tale.files() if name.startswith("audiobookshelf/")}
    assert names == {"A Tale.m4b", "cover.png", "metadata.json"}
    about = json.loads(tale.files()[f"{folder}metadata.json"])
    assert (about["title"], about["authors"], about["narrators"]) == ("A Tale", ["Ann Author", "Bo Other"], ["Nia"])
    assert about["publishedYear"] == "1935"
    assert [item["title"] for item in about["chapters"]] == ["The Start", "The <End> & more"]
    assert about["chapters"][-1]["end"] == pytest.approx(manifest.duration_sec)


def test_a_rate_that_aac_lacks_is_resampled(tale: BookBuilder) -> None:
    tale.rate_hz = 20_000
    tale.write()
    report = tale.build("m4b", "acx", "opus")
    assert report.manifest.sample_rate_hz == 22_050
    assert files_are_sound(tale.work, report.manifest).passed
    assert dataclasses.asdict(acx_is_met(report.manifest))["passed"]


def test_each_part_of_a_long_chapter_is_a_file_for_acx(tale: BookBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chapter_job, "split_chapter", functools.partial(split_chapter, max_sec=7.0))
    tale.write()
    manifest = tale.build("acx").manifest
    rows = [row for row in manifest.of_format("acx") if row.chapter == 1]
    assert [row.key.rpartition("/")[2] for row in rows] == ["001 The Start part 1.mp3", "001 The Start part 2.mp3"]
    outcome = acx_is_met(manifest)
    assert outcome.passed, outcome.message
    again = tale.build("acx", "vtt")
    assert again.chapters_mastered == 0
    assert again.manifest.of_format("acx") == manifest.of_format("acx")
