"""Checks of the stage `audiobooks`, each declared with its severity. `voice_assets` assigns them to assets."""

import json
from collections.abc import Iterator
from itertools import pairwise

import av

from voice_core.audiobook.audio_manifest import ChunkAudioManifest
from voice_core.audiobook.audiobook_manifest import STAGE, AudiobookManifest
from voice_core.audiobook.chunk_manifest import BookManifest
from voice_core.audiobook.mastering.assembly import FRAME
from voice_core.audiobook.mastering.chapter_source import BookChapters, ChapterSource
from voice_core.audiobook.mastering.marks import mark_chapter, sentence_slices
from voice_core.audiobook.mastering.master import MasteredChapter
from voice_core.audiobook.output.acx import AcxMeasures
from voice_core.layout import BookKey, manifest_key, stage_prefix
from voice_core.stages.checks import Findings, check
from voice_core.stages.files import FileState, check_files, list_sizes
from voice_core.storage.store import Store

MAX_LIMITED_SHARE = 0.01
"""The share of samples of a chapter that the limiter may change before it is worth a look."""
_AUDIO_FORMATS = {"m4a", "m4b", "flac", "opus", "mp3", "acx", "recording"}


@check()
def audiobook_is_current(
    manifest: AudiobookManifest | None, text: BookManifest, speech: ChunkAudioManifest
) -> Findings:
    """The audiobook is finished, is made of this text and this speech, and has a file of each of its formats."""
    if manifest is None or not manifest.complete:
        return Findings(["the audiobook is not finished" if manifest else "there is no audiobook"], "")
    wrong = [
        f"its {what} is of an earlier build"
        for what, made_of, now in (
            ("text", manifest.book_version, text.data_version),
            ("speech", manifest.speech_version, speech.data_version),
        )
        if made_of != now
    ]
    wrong += [f"it has no file of the format {name}" for name in manifest.formats if not manifest.of_format(name)]
    return Findings(wrong, f"{len(manifest.formats)} formats")


@check()
def marks_fit(manifest: AudiobookManifest, text: BookManifest, speech: ChunkAudioManifest) -> Findings:
    """Every spoken sentence has its place in its chapter, and the chapters' lengths are sums of samples.

    Sentences and words are in order, none overlaps another, and all are inside of their chapter.
    """
    wrong: list[str] = []
    sentences = 0
    numbers: list[int] = []
    for chapter in BookChapters(text, speech).with_speech():
        numbers.append(chapter.number)
        master = manifest.masters.get(chapter.number)
        if master is not None:
            wrong += [f"chapter {chapter.number}: {item}" for item in _find_mark_problems(chapter, master, manifest)]
        sentences += sum(len(sentence_slices(item.row.text, item.row.sentences)) for item in chapter.spoken)
    if numbers != sorted(manifest.masters):
        wrong.insert(0, f"{len(manifest.masters)} chapters are mastered, but {len(numbers)} have speech")
    figures = {
        "sentences": sentences,
        "samples": manifest.sample_count,
        "hours": round(manifest.duration_sec / 3600, 3),
    }
    return Findings(wrong, f"{sentences} sentences in {len(numbers)} chapters", figures)


def _find_mark_problems(chapter: ChapterSource, master: MasteredChapter, manifest: AudiobookManifest) -> Iterator[str]:
    if master.sample_count % FRAME:
        yield f"{master.sample_count} samples are not a whole number of frames"
    if len(master.spans) != len(chapter.spoken):
        yield f"{len(master.spans)} chunks have a place, but {len(chapter.spoken)} have speech"
        return
    for before, after in pairwise(master.spans):
        if after.start < before.end:
            yield f"the chunk at sample {after.start} begins before the chunk before it ends"
    marks = mark_chapter(chapter, master, manifest.sample_rate_hz)
    expected = sum(len(sentence_slices(item.row.text, item.row.sentences)) for item in chapter.spoken)
    if len(marks) != expected:
        yield f"{len(marks)} sentences have a time, but {expected} are spoken"
    at = 0
    for mark in marks:
        words = [place for word in mark.words for place in (word.start, word.end)]
        if not at <= mark.start < mark.end <= master.sample_count:
            yield f"sentence {mark.index + 1} of chunk {mark.chunk_id} overlaps another or the chapter's end"
        if not words or words != sorted(words) or words[0] < mark.start or words[-1] > mark.end:
            yield f"the words of sentence {mark.index + 1} of chunk {mark.chunk_id} are not inside of it, in order"
        at = mark.end


@check()
def files_are_sound(store: Store, manifest: AudiobookManifest) -> Findings:
    """Every file has its checksum, and audio has its length; no other file is there."""
    book = BookKey(manifest.partition)
    sizes = list_sizes(store, stage_prefix(STAGE, book))
    states = check_files(store, manifest.files(), sizes, verify=True)
    words = {FileState.MISSING: "is missing", FileState.RESIZED: "has another size than the committed file"}
    wrong = [
        f"{key} {words.get(state, 'is not what was committed')}"
        for key, state in states.items()
        if not state.counts_as_present
    ]
    intact = {key for key, state in states.items() if state is FileState.INTACT}
    for row in manifest.rows:
        if row.format in _AUDIO_FORMATS and row.sample_count and row.key in intact:
            wrong += _find_length_problems(store, row.key, row.sample_count / manifest.sample_rate_hz)
    unlisted = sizes.keys() - states.keys() - {manifest_key(STAGE, book)}
    wrong += [f"{key} is not listed" for key in sorted(unlisted)]
    return Findings(wrong, f"{len(states)} files")


_LENGTH_EPS_SEC = 0.1  # of MP3 and Opus, which have frames of their own


def _find_length_problems(store: Store, key: str, expected_sec: float) -> list[str]:
    try:
        with store.open(key) as file, av.open(file, "r") as container:
            if not container.streams.audio:
                return [f"{key} has no audio"]
            found = (container.duration or 0) / av.time_base
    except (av.FFmpegError, ValueError) as error:
        return [f"{key} cannot be decoded: {error}"]
    if abs(found - expected_sec) > _LENGTH_EPS_SEC:
        return [f"{key} has {found:.3f} s of audio, not {expected_sec:.3f}"]
    return []


@check()
def acx_is_met(manifest: AudiobookManifest) -> Findings:
    """Every file for ACX has the level, peak, noise floor, silence and length that ACX asks for, as encoded."""
    rows = manifest.of_format("acx")
    if "acx" not in manifest.formats:
        return Findings([], "", skipped="no files for ACX were asked for")
    measured = [(row, AcxMeasures(**json.loads(row.metrics))) for row in rows]
    wrong = [f"{row.key}: {problem}" for row, item in measured for problem in item.problems()]
    without = manifest.masters.keys() - {row.chapter for row in rows}
    wrong += [f"chapter {number} has no file" for number in sorted(without)]
    figures = {
        "rms_dbfs_lowest": min((item.rms_dbfs for _, item in measured), default=0.0),
        "rms_dbfs_highest": max((item.rms_dbfs for _, item in measured), default=0.0),
        "peak_dbfs_highest": max((item.peak_dbfs for _, item in measured), default=0.0),
        "floor_dbfs_highest": max((item.floor_dbfs for _, item in measured), default=0.0),
    }
    return Findings(wrong, f"{len(rows)} files", figures)


@check("warning")
def limiter_is_rare(manifest: AudiobookManifest) -> Findings:
    """The limiter changes few samples of each chapter; where it changes many, the level is too high for the voice."""
    wrong = [
        f"chapter {number}: {item.limited / item.sample_count:.2%} of the samples were limited"
        for number, item in manifest.masters.items()
        if item.limited > MAX_LIMITED_SHARE * item.sample_count
    ]
    figures = {"limited_share": round(manifest.limited_share, 6)}
    return Findings(wrong, f"{len(manifest.masters)} chapters", figures)
