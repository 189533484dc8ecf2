"""Checks of the stage `chunk_audio`, each declared with its severity. `voice_assets` assigns them to assets."""

import io
import json
from collections import Counter
from collections.abc import Iterator

import soundfile

from voice_core.audiobook.audio_manifest import STAGE, ChunkAudioManifest, ChunkAudioRow
from voice_core.audiobook.chunk_manifest import BookManifest, ChunkRow
from voice_core.audiobook.speaking import VoiceGains
from voice_core.fingerprint import sha256
from voice_core.language import pluralize
from voice_core.layout import BookKey, stage_prefix
from voice_core.stages.checks import Findings, check
from voice_core.stages.files import FileState, compare_sizes, list_sizes
from voice_core.storage.store import Store, StoreError

_SHOWN_CHARACTERS = 60


@check()
def chunks_add_up(text: BookManifest, audio: ChunkAudioManifest) -> Findings:
    """Every chunk of the text has one row: speech, or the reason why there is none."""
    wanted = [chunk.chunk_id for chunk in text.chunks()]
    there = Counter(row.chunk_id for row in audio.rows)
    wrong = [f"the chunk {chunk_id} has no row" for chunk_id in wanted if not there[chunk_id]]
    wrong += [f"the chunk {chunk_id} has {count} rows" for chunk_id, count in there.items() if count > 1]
    wrong += [f"the text has no chunk {chunk_id}" for chunk_id in sorted(there.keys() - set(wanted))]
    if not wrong and [row.chunk_id for row in audio.rows] != wanted:
        wrong.append("the rows are not in the order of the text")
    for row in audio.rows:
        if row.spoken != bool(row.key) or (not row.spoken and not row.reason):
            wrong.append(f"the chunk {row.chunk_id} has neither speech nor a reason")
    figures = {"chunks": len(wanted), "spoken": sum(row.spoken for row in audio.rows)}
    return Findings(wrong, pluralize(len(wanted), "chunk"), figures)


@check()
def files_are_sound(store: Store, audio: ChunkAudioManifest) -> Findings:
    """Every file of speech that is not freed has the size, checksum, sampling rate and length that its row has."""
    prefix = stage_prefix(STAGE, BookKey(audio.partition))
    rows = {row.key: row for row in audio.rows if row.key and not row.freed}
    states = compare_sizes({key: (row.size_bytes, row.sha256) for key, row in rows.items()}, list_sizes(store, prefix))
    wrong = [f"{key} is {state}" for key, state in states.items() if state is not FileState.INTACT]
    intact = [key for key, state in states.items() if state is FileState.INTACT]
    found = store.map_keys(lambda key: _describe_problem(store, rows[key], audio.sample_rate_hz), intact)
    wrong += [f"{key} {problem}" for key, problem in zip(intact, found, strict=True) if problem]
    return Findings(wrong, pluralize(len(rows), "file"), {"bytes": sum(row.size_bytes for row in rows.values())})


def _describe_problem(store: Store, row: ChunkAudioRow, sample_rate_hz: int) -> str:
    """What is wrong with a file; "" where it is what was committed."""
    try:
        data = store.get(row.key)
    except StoreError as error:
        return f"cannot be read: {error}"
    if sha256(data) != row.sha256:
        return "is not the file that was committed"
    try:
        info = soundfile.info(io.BytesIO(data))
    except soundfile.LibsndfileError as error:
        return f"is not a FLAC file: {error}"
    if (info.samplerate, info.frames, info.channels) != (sample_rate_hz, row.sample_count, 1):
        return (
            f"has {info.frames} samples at {info.samplerate} Hz in {info.channels} channels, and must have "
            f"{row.sample_count} at {sample_rate_hz} Hz in one"
        )
    return ""


@check("warning")
def nothing_rejected(text: BookManifest, audio: ChunkAudioManifest) -> Findings:
    """Every chunk has speech that passes the validation. Otherwise they are listed, worst first, with their place."""
    counts = Counter(
        name for row in audio.exceptions() for name in (dict(_failures(row)) if row.spoken else [row.reason])
    )
    figures = {"takes": sum(row.takes for row in audio.rows), "failed_tests": dict(sorted(counts.items()))}
    return Findings(list_exceptions(text, audio), pluralize(len(audio.rows), "chunk"), figures)


def list_exceptions(text: BookManifest, audio: ChunkAudioManifest) -> list[str]:
    """A line for each chunk without speech or whose speech failed a test, worst first."""
    chunks = {chunk.chunk_id: chunk for chunk in text.chunks()}
    ranked = sorted(audio.exceptions(), key=lambda row: (row.spoken, -len(_failures(row)), row.chunk_id))
    return [_describe_exception(row, chunks.get(row.chunk_id), text) for row in ranked]


def _describe_exception(row: ChunkAudioRow, chunk: ChunkRow | None, text: BookManifest) -> str:
    """A chunk without speech, or whose speech failed tests: its place in the book, its text, and why."""
    failed = [message for _, message in _failures(row)]
    why = "; ".join(filter(None, [*failed, row.message])) if row.spoken else row.message or row.reason
    if chunk is None:
        return f"{row.chunk_id}: {why}"
    title = text.chapters[chunk.chapter - 1][0] if 0 < chunk.chapter <= len(text.chapters) else ""
    words = chunk.text if len(chunk.text) <= _SHOWN_CHARACTERS else f"{chunk.text[: _SHOWN_CHARACTERS - 1]}…"
    chapter = f"chapter {chunk.chapter}" + (f" {title!r}" if title else "")
    return f"{row.chunk_id} ({chapter}, {chunk.place}) {words!r}: {why}"


@check("warning")
def words_were_recognised(audio: ChunkAudioManifest) -> Findings:
    """A recogniser hears the words of the text in the chunks of the sample, compared by sound.

    The limits are those of tier2 in validation_config.yaml. The word error rate includes errors of the recogniser.
    """
    found = list(_recognised(audio))
    if not found:
        return Findings([], "", skipped="no chunk was recognised: tier2 is disabled, or no chunk is in its sample")
    words, errors = (sum(int(tier2[name]) for _, tier2 in found) for name in ("words", "errors"))
    worst = sorted(found, key=lambda item: (-float(item[1]["word_error_rate"]), item[0].chunk_id))
    wrong = [
        f"{row.chunk_id}: {tier2['errors']} of {tier2['words']} words are wrong; {tier2['recogniser']} heard "
        f"{tier2['text']!r}"
        for row, tier2 in worst
        if "words" in dict(_failures(row))
    ]
    rate = round(errors / max(1, words), 4)
    figures = {"word_error_rate": rate, "words": words, "recognised": len(found)}
    return Findings(wrong, f"{pluralize(len(found), 'chunk')}, word error rate {rate:.4f}", figures)


@check("warning")
def levels_are_measured(audio: ChunkAudioManifest) -> Findings:
    """The level of every voice was measured. Otherwise its gain is 0 dB, and the next run measures it."""
    gains = VoiceGains.of_manifest(audio)
    wrong = [gains.problems[voice] for voice in sorted(gains.problems)]
    return Findings(wrong, pluralize(len(gains.gains_db), "voice"), {"gains_db": gains.gains_db})


def _recognised(audio: ChunkAudioManifest) -> Iterator[tuple[ChunkAudioRow, dict[str, str | int | float]]]:
    for row in audio.rows:
        tier2 = json.loads(row.metrics).get("tier2")
        if tier2 is not None:
            yield row, tier2


def _failures(row: ChunkAudioRow) -> list[tuple[str, str]]:
    return [(test, message) for test, message in json.loads(row.exceptions)]
