"""Marks of an audiobook of ten hours against its decoded m4b, and what mastering takes.

Fifty utterances of hibari, about nine seconds each, are repeated in varying order. The m4b is decoded from its
beginning as a player does it, and the loudest part of each chunk is searched for around the place that the manifest
gives it.

Prediction: every chunk within one sample, so 0.05 ms, in the first hour and in the last; 120 s of one core for AAC.
"""

import io
import os
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import av
import numpy as np
import numpy.typing as npt

from benchmarks.common import Options, cpu_sec, peak_rss_bytes, process_tree
from benchmarks.report import Goal, Report
from voice_core.audio.pcm import flac_bytes, to_pcm16
from voice_core.audiobook import audio_manifest, chunk_manifest
from voice_core.audiobook.audio_manifest import ChunkAudioManifest, ChunkAudioRow, speech_key
from voice_core.audiobook.audiobook_manifest import AudiobookManifest
from voice_core.audiobook.audiobook_stage import build_audiobook
from voice_core.audiobook.chunk_manifest import BookManifest, ChunkRow
from voice_core.fingerprint import canonical_json, sha256
from voice_core.layout import BookKey, manifest_key
from voice_core.settings import Settings
from voice_core.storage.store import Store
from voice_core.tts import load_engine
from voice_core.tts.base import Utterance

Audio = npt.NDArray[np.float64]
_RATE_HZ: Final = 24_000
_BOOK: Final = BookKey("marks")
_CHUNK_SEC, _CHAPTER_SEC, _UTTERANCES = 9.0, 600.0, 50
_TEXT: Final = (
    "the harbour was quiet and nobody came down to water that morning because rain had fallen over seven islands all "
    "night long while a keeper of some old lamp read letters"
)
_REACH: Final = 240  # samples around a mark: 10 ms
_PROBE: Final = 2_000  # samples that are compared
_MIB: Final = 2**20


def measure(options: Options) -> Report:
    hours = 0.2 if options.quick else 10.0
    with tempfile.TemporaryDirectory(prefix="voice-bench-") as folder:
        work = Store(f"file://{folder}/work", create=True)
        sounds = _write_book(work, hours)
        settings = Settings(raw_url=f"file://{folder}/raw", work_url=work.url, audiobook={"formats": ["m4b"]})
        began, cpu = time.perf_counter(), cpu_sec()
        manifest = build_audiobook(work, _BOOK, settings).manifest
        wall_sec, used_sec = time.perf_counter() - began, cpu_sec() - cpu
        peak_mib = sum(peak_rss_bytes(pid) for pid in process_tree(os.getpid())) / _MIB
        (row,) = manifest.of_format("m4b")
        errors = _find_errors(Path(folder, "work", row.key), manifest, sounds)
    hour = 3600 * _RATE_HZ
    table = []
    for number in range(int(errors[-1][0] // hour) + 1):
        found = [abs(error) for at, error in errors if at // hour == number]
        table.append([str(number + 1), f"{len(found):,}", f"{max(found) / _RATE_HZ * 1000:.3f}"])
    worst_ms = max(abs(error) for _, error in errors) / _RATE_HZ * 1000
    return Report(
        columns=["hour", "chunks", "largest error, ms"],
        rows=table,
        goals=[Goal("largest error of a mark", worst_ms, 1.0, at_least=False, unit=" ms")],
        notes=[
            f"{manifest.duration_sec / 3600:.2f} h in {len(manifest.masters)} chapters",
            f"master, AAC and m4b: {wall_sec:.1f} s, {used_sec:.1f} s of CPU, {peak_mib:,.0f} MiB over all processes",
        ],
        details={"wall_sec": wall_sec, "cpu_sec": used_sec, "peak_mib": peak_mib},
    )


def _write_book(work: Store, hours: float) -> list[Audio]:
    """Write the manifests and the speech of a book of this length. Returns the utterances that its chunks repeat."""
    rng = np.random.default_rng(0)
    engine = load_engine("hibari")
    assert engine.sample_rate_hz == _RATE_HZ
    sounds, files = [], []
    for number in range(_UTTERANCES):
        text = " ".join(rng.permutation(_TEXT.split())) + "."
        audio = engine.speak(Utterance(text, "default", "en")).audio.astype(np.float64)
        data = flac_bytes(to_pcm16(audio), _RATE_HZ)
        key = speech_key(_BOOK, f"{number:032d}")
        work.put(key, data)
        sounds.append(audio)
        files.append((key, sha256(data), len(data)))
    rows, spoken = [], []
    chapters = max(1, round(hours * 3600 / _CHAPTER_SEC))
    for chapter in range(1, chapters + 1):
        for number in range(int(_CHAPTER_SEC / _CHUNK_SEC)):
            name, text = f"{chapter:03d}-{number + 1:04d}", "some words"
            rows.append(ChunkRow(name, chapter, number, "paragraph", text, text, voice="v", pause_after="paragraph"))
            key, digest, size = files[_sound_of(chapter, number)]
            count = len(sounds[_sound_of(chapter, number)])
            words = canonical_json([["some", 0.1, 1.0], ["words", 1.0, 2.0]])
            spoken.append(
                ChunkAudioRow(name, key, True, voice="v", sample_count=count, key=key, sha256=digest, size_bytes=size,
                              words=words, words_digest=rows[-1].words_digest)
            )  # fmt: skip
    titles = tuple((f"Chapter {number}", 1) for number in range(1, chapters + 1))
    text_manifest = BookManifest(str(_BOOK), True, "", chapters=titles, rows=rows)
    speech = ChunkAudioManifest(str(_BOOK), True, "", _RATE_HZ, gains_db={"v": 0.0}, rows=spoken)
    work.put(manifest_key(chunk_manifest.STAGE, _BOOK), text_manifest.to_bytes())
    work.put(manifest_key(audio_manifest.STAGE, _BOOK), speech.to_bytes())
    return sounds


def _sound_of(chapter: int, number: int) -> int:
    return (chapter * 7 + number * 3) % _UTTERANCES


def _find_errors(path: Path, manifest: AudiobookManifest, sounds: list[Audio]) -> list[tuple[int, int]]:
    """For each chunk the place of its mark and by how many samples its sound is elsewhere."""
    starts = manifest.chapter_starts()
    probes = [_loudest(sound) for sound in sounds]
    wanted = []
    for chapter, master in manifest.masters.items():
        for number, span in enumerate(master.spans):
            offset, probe = probes[_sound_of(chapter, number)]
            wanted.append((starts[chapter] + span.start - span.lead + offset, probe))
    assert all(before < after for (before, _), (after, _) in pairwise(wanted))
    errors = []
    blocks = _decode(path)
    buffer, begin = np.zeros(0), 0
    for at, sound in wanted:
        while begin + len(buffer) < at + _PROBE + _REACH:
            buffer = np.concatenate([buffer, next(blocks)])
        first = at - _REACH - begin
        buffer, begin = buffer[first:], begin + first
        window = buffer[: 2 * _REACH + _PROBE]
        errors.append((at, int(np.argmax(np.correlate(window, sound, "valid"))) - _REACH))
    return errors


def _loudest(sound: Audio) -> tuple[int, Audio]:
    """Where the loudest part of an utterance begins, and the part."""
    power = np.convolve(np.square(sound), np.ones(_PROBE), "valid")
    at = int(np.argmax(power))
    return at, sound[at : at + _PROBE]


def _decode(path: Path) -> Iterator[Audio]:
    with av.open(io.BytesIO(path.read_bytes()), "r") as container:
        for frame in container.decode(audio=0):
            yield frame.to_ndarray()[0].astype(np.float64)
