"""A book is mastered once, and after a change just the chapter that changed is mastered again."""

from functools import partial
from pathlib import Path

from voice_assets_tests.core.audiobook.master.conftest import BOOK, BookBuilder, decode, find_offset, row_of, speak
from voice_core.audiobook.audio_manifest import read_audio_manifest
from voice_core.audiobook.audiobook_checks import acx_is_met, files_are_sound, limiter_is_rare, marks_fit
from voice_core.audiobook.chunk_manifest import read_book_manifest
from voice_core.audiobook.mastering.assembly import FRAME
from voice_core.audiobook.output.m4b import BookTags, EncodedChapter, write_m4b


def test_every_chunk_is_in_the_m4b_where_its_mark_is(tale: BookBuilder) -> None:
    tale.write()
    manifest = tale.build("m4b").manifest
    audio = decode(tale.work.get(row_of(manifest, "m4b")))
    assert abs(len(audio) - manifest.sample_count) <= FRAME
    starts = manifest.chapter_starts()
    for number, master in manifest.masters.items():
        rows = [row for row in tale.rows if row.chapter == number and row.is_spoken]
        for row, span in zip(rows, master.spans, strict=True):
            pcm, words = speak(row.text)
            first = round(words[0][1] * tale.rate_hz)
            sound = pcm[first : first + 2000] / 32768
            assert abs(find_offset(audio, sound, starts[number] + span.start + first - span.lead)) <= 1


def test_a_second_build_writes_nothing(tale: BookBuilder) -> None:
    tale.write()
    first = tale.build("m4b")
    assert (first.chapters_mastered, first.files_written) == (2, 1)
    before = tale.files()
    again = tale.build("m4b")
    assert (again.chapters_mastered, again.files_written) == (0, 0)
    assert again.manifest.to_bytes() == first.manifest.to_bytes()
    assert tale.files() == before


def test_the_checks_pass(tale: BookBuilder) -> None:
    tale.write()
    manifest = tale.build("m4b").manifest
    text, speech = read_book_manifest(tale.work, BOOK), read_audio_manifest(tale.work, BOOK)
    assert text is not None
    assert speech is not None
    for outcome in (
        marks_fit(manifest, text, speech),
        files_are_sound(tale.work, manifest),
        limiter_is_rare(manifest),
        acx_is_met(manifest),
    ):
        assert outcome.passed, outcome.message


def test_marks_do_not_drift_over_many_chapters(tale: BookBuilder, tmp_path: Path) -> None:
    """The two chapters sixty times in turn: the last sound is where the sums of samples say, to a millisecond."""
    tale.write()
    manifest = tale.build("m4b").manifest
    keys = {row.chapter: row.key for row in manifest.of_format("m4a")}
    numbers = [1, 3] * 60
    chapters = [
        EncodedChapter("", manifest.masters[number].sample_count, partial(tale.work.open, keys[number]))
        for number in numbers
    ]
    path = tmp_path / "long.m4b"
    write_m4b(path, chapters, tale.rate_hz, BookTags("Long"), None)
    audio = decode(path.read_bytes())
    start = 0
    for number in numbers:
        master = manifest.masters[number]
        rows = [row for row in tale.rows if row.chapter == number and row.is_spoken]
        pcm, words = speak(rows[-1].text)
        first = round(words[0][1] * tale.rate_hz)
        at = start + master.spans[-1].start + first - master.spans[-1].lead
        assert abs(find_offset(audio, pcm[first : first + 2000] / 32768, at)) <= tale.rate_hz // 1000
        start += master.sample_count
    assert len(audio) == start
