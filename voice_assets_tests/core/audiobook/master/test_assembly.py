"""Chunks are joined with the pauses of the settings, without clicks; sentences and words keep their places."""

import dataclasses
import json
from itertools import pairwise

import numpy as np
import pytest

from voice_assets_tests.core.audiobook.master.conftest import BOOK, BookBuilder, decode, make_settings, row_of
from voice_core.audiobook.audio_manifest import ChunkAudioRow, read_audio_manifest
from voice_core.audiobook.chunk_manifest import ChunkRow, read_book_manifest
from voice_core.audiobook.mastering.assembly import FRAME, ChapterAssembly, ChunkSpan, fade_edges, find_speech
from voice_core.audiobook.mastering.chapter_source import BookChapters, ChapterSource, SpokenChunk
from voice_core.audiobook.mastering.marks import mark_chunk

RATE_HZ = 24_000


def chapter_of(builder: BookBuilder, number: int) -> ChapterSource:
    text, speech = read_book_manifest(builder.work, BOOK), read_audio_manifest(builder.work, BOOK)
    assert text is not None
    assert speech is not None
    return BookChapters(text, speech)[number - 1]


def test_pauses_are_those_of_the_settings_to_the_sample(builder: BookBuilder) -> None:
    kinds = ("clause", "sentence", "paragraph", "scene", "heading", "chapter")
    builder.add_chapter("", [f"Chunk {kind}." for kind in kinds])
    builder.rows = [dataclasses.replace(row, pause_after=kind) for row, kind in zip(builder.rows, kinds, strict=True)]
    builder.write()
    settings = make_settings(chapter_tail_sec=1.5).audiobook
    assembly = ChapterAssembly(builder.work, BOOK, chapter_of(builder, 1), {"default": 0.0}, RATE_HZ, settings)
    audio = np.concatenate([*assembly.blocks()])
    assert len(audio) == assembly.sample_count
    assert len(audio) % FRAME == 0
    spans = assembly.spans
    assert spans[0].start == 0.75 * RATE_HZ
    pauses = [(after.start - before.end) / RATE_HZ for before, after in pairwise(spans)]
    assert pauses == [0.15, 0.35, 0.7, 1.8, 1.2]
    assert 0 <= len(audio) - spans[-1].end - 1.5 * RATE_HZ < FRAME
    for before, after in pairwise(spans):
        assert not audio[before.end : after.start].any()


def test_the_pause_of_a_chunk_without_speech_is_kept(builder: BookBuilder) -> None:
    builder.add_chapter("", ["One.", "Two."], ["Three."])
    builder.silent = {"001-0002"}  # the last one of its paragraph
    builder.write()
    first, second = builder.build("flac").manifest.masters[1].spans
    assert second.start - first.end == 0.7 * RATE_HZ


def test_a_chapter_begins_and_ends_with_silence_whatever_the_settings(builder: BookBuilder) -> None:
    builder.add_chapter("", ["Hello."])
    builder.write()
    settings = make_settings(chapter_head_sec=0, chapter_tail_sec=0).audiobook
    assembly = ChapterAssembly(builder.work, BOOK, chapter_of(builder, 1), {"default": 0.0}, RATE_HZ, settings)
    audio = np.concatenate([*assembly.blocks()])
    assert not audio[: 2 * FRAME].any()
    assert not audio[-2 * FRAME :].any()


def test_an_edge_that_is_not_silent_is_faded_and_a_silent_one_is_not() -> None:
    tone = 0.5 * np.cos(np.arange(4_800) / 20)
    faded = fade_edges(tone, RATE_HZ)
    assert abs(faded[0]) < 0.01
    assert abs(faded[-1]) < 0.01
    assert np.abs(np.diff(np.concatenate([[0.0], faded, [0.0]]))).max() <= 1.2 * np.abs(np.diff(tone)).max()
    assert (faded[120:-120] == tone[120:-120]).all()
    quiet = np.concatenate([np.zeros(200), tone, np.zeros(200)])
    assert (fade_edges(quiet, RATE_HZ) == quiet).all()


def test_silence_around_speech_is_cut_and_quiet_audio_is_kept() -> None:
    audio = np.concatenate([np.zeros(5_000), np.full(1_000, 0.1), np.zeros(7_000)])
    first, end = find_speech(audio, RATE_HZ)
    assert (first, end) == (5_000 - 360, 6_000 + 360)
    assert find_speech(audio * 1e-3, RATE_HZ) == (0, len(audio))


def test_audio_that_clicks_at_its_edges_does_not_click_in_the_file(builder: BookBuilder) -> None:
    """Speech that begins and ends at full level: the file has no step larger than the speech itself has."""
    builder.add_chapter("", ["Hello there.", "And again."])
    builder.lead_sec = builder.gap_sec = 0.0
    builder.write()
    manifest = builder.build("flac").manifest
    audio = decode(builder.work.get(row_of(manifest, "flac", 1)))
    for span in manifest.masters[1].spans:
        for at in (span.start, span.end):
            assert np.abs(np.diff(audio[at - 5 : at + 5])).max() < 0.05


def chunk(text: str, sentences: list[list[int]], words: list[list[object]]) -> SpokenChunk:
    row = ChunkRow("001-0001", 1, 0, "paragraph", text, text, json.dumps(sentences))
    return SpokenChunk(row, ChunkAudioRow("001-0001", "", True, voice="v", words=json.dumps(words)))


def test_sentences_begin_with_their_first_word() -> None:
    words = [["He", 0.5, 0.7], ["left.", 0.8, 1.0], ["She", 1.4, 1.5], ["stayed.", 1.6, 2.0]]
    marks = mark_chunk(
        chunk("He left. She stayed.", [[0, 9], [9, 20]], words), ChunkSpan(10_000, 48_000, 2_400), 24_000
    )
    assert [mark.text for mark in marks] == ["He left.", "She stayed."]
    assert [(mark.start, mark.end) for mark in marks] == [(10_000, 31_600), (41_200, 58_000)]
    assert [(word.start, word.end) for word in marks[1].words] == [(41_200, 43_600), (46_000, 55_600)]


@pytest.mark.parametrize(
    "words",
    [
        [],  # none
        [["one", 0.0, 0.1]],  # others
        [["He", 0.5, 0.7], ["left.", 0.8, 1.0]],  # only those of the first sentence
        [["He", 0.5, 0.7], ["left.", 0.8, 1.0], ["She", 1.4, 1.5], ["stayed.", 9.0, 9.5]],  # beyond the end
        [["He", 0.5, 0.7], ["left.", 0.1, 0.2], ["She", 1.4, 1.5], ["stayed.", 1.6, 2.0]],  # out of order
    ],
)
def test_every_sentence_has_a_time_whatever_the_words(words: list[list[object]]) -> None:
    span = ChunkSpan(10_000, 48_000, 0)
    marks = mark_chunk(chunk("He left. She stayed.", [[0, 9], [9, 20]], words), span, 24_000)
    assert [word.text for mark in marks for word in mark.words] == ["He", "left.", "She", "stayed."]
    places = [place for mark in marks for word in mark.words for place in (word.start, word.end)]
    assert places == sorted(places)
    assert (marks[0].start, marks[-1].end) == (span.start, span.end)
    assert marks[0].start < marks[0].end <= marks[1].start < marks[1].end


def test_scripts_without_spaces_and_repeated_words_find_their_places() -> None:
    words = [["你", 0.1, 0.2], ["好。", 0.2, 0.4], ["你", 0.5, 0.6], ["来。", 0.6, 0.8]]
    marks = mark_chunk(chunk("你好。你来。", [[0, 3], [3, 6]], words), ChunkSpan(0, 24_000, 0), 24_000)
    assert [mark.text for mark in marks] == ["你好。", "你来。"]
    assert marks[1].start == 12_000


def test_a_word_that_is_part_of_the_one_before_it_is_not_found_there() -> None:
    text = "That was. A hat? As – was."
    words = [[word, 0.1 * at, 0.1 * at + 0.1] for at, word in enumerate(["That", "was.", "A", "hat?", "As –", "was."])]
    marks = mark_chunk(chunk(text, [[0, 9], [9, 17], [17, 26]], words), ChunkSpan(0, 24_000, 0), 24_000)
    assert [[word.text for word in mark.words] for mark in marks] == [["That", "was."], ["A", "hat?"], ["As –", "was."]]
    assert [mark.start for mark in marks] == [0, 4_800, 9_600]
