"""A book is mastered once, and after a change just the chapter that changed is mastered again, to the same bytes."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from voice_assets_tests.core.audiobook.master.conftest import BookBuilder, row_of
from voice_assets_tests.servers.s3 import S3Server
from voice_core.audiobook import audiobook_plan, audiobook_stage
from voice_core.audiobook.audiobook_checks import files_are_sound
from voice_core.audiobook.audiobook_manifest import AudiobookManifest, read_audiobook_manifest
from voice_core.audiobook.output import book_files
from voice_core.audiobook.output.book_output import AUDIOBOOK_VERSION
from voice_core.layout import BookKey
from voice_core.storage.store import Store

ALL = ("m4b", "flac", "opus", "mp3", "acx", "srt", "vtt", "epub", "audiobookshelf", "recording")


def change_text(builder: BookBuilder, chunk_id: str, text: str) -> None:
    builder.rows = [
        dataclasses.replace(row, text=text, spoken_text=text, sentences="[]") if row.chunk_id == chunk_id else row
        for row in builder.rows
    ]


def m4a_keys(manifest: AudiobookManifest) -> dict[int, str]:
    return {row.chapter: row.key for row in manifest.of_format("m4a")}


def test_one_edited_chunk_masters_one_chapter(tale: BookBuilder) -> None:
    tale.write()
    formats = ("m4b", "flac", "vtt", "epub")
    first = tale.build(*formats)
    change_text(tale, "001-0003", "The lamp went on.")
    tale.write()
    second = tale.build(*formats)
    assert second.chapters_mastered == 1
    before, after = m4a_keys(first.manifest), m4a_keys(second.manifest)
    assert (before[3] == after[3], before[1] == after[1]) == (True, False)
    assert before[1].rpartition("/")[2] not in "".join(tale.files())  # what no row lists is removed
    assert files_are_sound(tale.work, second.manifest).passed


def test_an_inserted_chapter_is_the_only_one_that_is_mastered(tale: BookBuilder, tmp_path: Path) -> None:
    tale.write()
    tale.build("m4b", "epub")
    longer = BookBuilder(tale.work)
    longer.add_chapter("New", ["Something before."])
    for row in tale.rows:
        place = f"{row.chapter + 1:03d}{row.chunk_id[3:]}" if row.chunk_id else ""
        longer.rows.append(dataclasses.replace(row, chapter=row.chapter + 1, chunk_id=place))
    longer.chapters += tale.chapters
    longer.write()
    report = longer.build("m4b", "epub")
    assert report.chapters_mastered == 1
    fresh = dataclasses.replace(longer, work=Store(f"file://{tmp_path}/fresh", create=True))
    fresh.write()
    assert fresh.build("m4b", "epub").manifest.to_bytes() == report.manifest.to_bytes()
    assert fresh.files() == longer.files()


def test_tags_times_and_formats_change_without_mastering(tale: BookBuilder) -> None:
    tale.write()
    first = tale.build("m4b", "vtt").manifest
    tale.title = "Another Tale"
    tale.chapters[0] = ("The Beginning", 1)
    tale.write()
    renamed = tale.build("m4b", "vtt")
    assert renamed.chapters_mastered == 0
    assert m4a_keys(renamed.manifest) == m4a_keys(first)
    assert "Another Tale.m4b" in tale.files()
    assert "A Tale.m4b" not in tale.files()
    tale.replace_words("[]")
    assert tale.build("m4b", "vtt").chapters_mastered == 0
    more = tale.build("m4b", "opus")
    assert more.chapters_mastered == 2
    assert m4a_keys(more.manifest) == m4a_keys(first)
    assert not [name for name in tale.files() if name.endswith(".vtt")]


def test_pauses_and_levels_master_all_chapters(tale: BookBuilder) -> None:
    tale.write()
    short = tale.build("m4b").manifest
    long = tale.build("m4b", pause_paragraph_sec=1.7)
    assert long.chapters_mastered == 2
    spans = [manifest.masters[1].spans for manifest in (short, long.manifest)]
    assert [span.count for span in spans[0]] == [span.count for span in spans[1]]
    assert spans[1][1].start - spans[0][1].start == tale.rate_hz
    tale.gain_db = -3.0
    tale.write()
    assert tale.build("m4b", pause_paragraph_sec=1.7).chapters_mastered == 2


def test_equal_bytes_with_any_number_of_workers_and_after_being_killed(
    tale: BookBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tale.write()
    expected = tale.build(*ALL).manifest
    files = tale.files()
    two = dataclasses.replace(tale, work=Store(f"file://{tmp_path}/two", create=True))
    two.write()
    two.build(*ALL, workers=2)
    assert two.files() == files

    killed = dataclasses.replace(tale, work=Store(f"file://{tmp_path}/killed", create=True))
    killed.write()
    run = audiobook_stage.run_chapter_job
    done: list[Any] = []

    def stop_after_one(job: Any) -> Any:
        if done:
            raise KeyboardInterrupt
        done.append(job)
        return run(job)

    with monkeypatch.context() as patch:
        patch.setattr(audiobook_stage, "run_chapter_job", stop_after_one)
        with pytest.raises(KeyboardInterrupt):
            killed.build(*ALL)
    left = read_audiobook_manifest(killed.work, BookKey("tale"))
    assert left is not None
    assert not left.complete
    assert len(left.masters) == 1
    resumed = killed.build(*ALL)
    assert resumed.chapters_mastered == 1
    assert resumed.manifest.to_bytes() == expected.to_bytes()
    assert killed.files() == files


def test_another_version_writes_all_files_anew(tale: BookBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    formats = "m4b", "vtt", "epub", "flac", "recording", "audiobookshelf"
    tale.write()
    before = tale.build(*formats).manifest
    for module in (audiobook_plan, book_files):
        monkeypatch.setattr(module, "AUDIOBOOK_VERSION", AUDIOBOOK_VERSION + 1)
    after = tale.build(*formats).manifest
    assert not {row.inputs for row in before.rows} & {row.inputs for row in after.rows}
    assert [row.sha256 for row in before.rows] == [row.sha256 for row in after.rows]


def test_files_that_are_missing_or_changed_are_made_again(tale: BookBuilder) -> None:
    tale.write()
    manifest = tale.build("m4b", "mp3", "vtt").manifest
    files = tale.files()
    mp3, m4a = row_of(manifest, "mp3", 1), row_of(manifest, "m4a", 3)
    tale.work.delete([mp3])
    data = tale.work.get(m4a)
    tale.work.put(m4a, bytes(len(data)))
    outcome = files_are_sound(tale.work, manifest)
    assert f"{mp3} is missing" in outcome.message
    assert f"{m4a} is not what was committed" in outcome.message
    assert tale.build("m4b", "mp3", "vtt").chapters_mastered == 1  # sizes alone are compared
    assert tale.build("m4b", "mp3", "vtt", verify=True).chapters_mastered == 1
    assert tale.files() == files


def test_a_remote_store_gets_the_same_files(tale: BookBuilder, s3_server: S3Server) -> None:
    tale.write()
    tale.build("m4b", "flac", "vtt", "epub")
    bucket = s3_server.new_bucket()
    remote = dataclasses.replace(tale, work=Store(f"{bucket}/work", s3_server.access()))
    remote.write()
    manifest = remote.build("m4b", "flac", "vtt", "epub").manifest
    local = {f"audiobooks/tale/{name}": data for name, data in tale.files().items()}
    there = [item.key for item in remote.work.listing("audiobooks/")]
    assert {key: remote.work.get(key) for key in there} == local
    assert files_are_sound(remote.work, manifest).passed
