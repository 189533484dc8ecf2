"""Chunks become speech: what is spoken, kept and spoken again."""

import io
import json
import logging
import signal
from pathlib import Path

import pytest
import soundfile

from voice_assets_tests.core.audiobook.speech.babble import BOOK, make_chunk, write_book
from voice_assets_tests.core.audiobook.speech.conftest import SpeechBuilder, failed_tests
from voice_assets_tests.processes import run_program
from voice_core.audiobook.audio_manifest import read_audio_manifest
from voice_core.audiobook.speech import choose_book_workers
from voice_core.audiobook.takes import SpeechTask
from voice_core.recognition.text_words import split_words
from voice_core.settings import ConfigurationError, Settings
from voice_core.storage.store import Store
from voice_core.synthesis import SynthesisOptions
from voice_core.synthesis.types import Backend

TEXTS = (
    "It was a dark night on the moor.",
    "Nobody had seen the lamp, and nobody asked.",
    "Yes.",
    "The captain of the small boat looked at the sky.",
    "Yes.",
    "Where are the others now?",
)


def test_each_chunk_has_a_row_and_a_file_with_its_words(builder: SpeechBuilder) -> None:
    chunks = write_book(builder.store, *TEXTS)
    report = builder.build()
    manifest = report.manifest
    assert manifest.complete
    assert [row.chunk_id for row in manifest.rows] == [chunk.chunk_id for chunk in chunks]
    assert (report.spoken, report.retries) == (5, 0)  # "Yes." is spoken once
    assert not list(manifest.exceptions())
    for chunk, row in zip(chunks, manifest.rows, strict=True):
        audio, rate = soundfile.read(io.BytesIO(builder.store.get(row.key)), dtype="int16")
        assert (len(audio), rate) == (row.sample_count, manifest.sample_rate_hz)
        assert [word.text for word in row.word_times()] == split_words(chunk.text)
        assert json.loads(row.metrics)["tier1"]["pace"] > 0
    assert report.speech_sec > 5


def test_gains_bring_each_voice_to_the_level_of_the_settings(builder: SpeechBuilder) -> None:
    write_book(builder.store, make_chunk(1, TEXTS[0]), make_chunk(2, TEXTS[1], "far"))
    gains = builder.build().manifest.gains_db
    assert gains["far"] - gains["near"] == pytest.approx(6.02, abs=0.1)
    louder = builder.build(settings={"level_dbfs": -18.0})
    assert louder.spoken == 0
    assert louder.manifest.gains_db["far"] == pytest.approx(gains["far"] + 2.0)


def test_a_second_build_does_nothing(builder: SpeechBuilder) -> None:
    write_book(builder.store, *TEXTS)
    builder.build()
    before = builder.files()
    report = builder.build()
    assert (report.spoken, report.stats.utterances) == (0, 0)
    assert builder.files() == before


@pytest.mark.parametrize(("backend", "workers", "beside"), [("thread", 2, 2), ("process", 2, 1), ("process", 4, 2)])
def test_every_backend_and_number_of_workers_gives_the_same_bytes(
    builder: SpeechBuilder, tmp_path: Path, backend: Backend, workers: int, beside: int
) -> None:
    bad = _seed(TEXTS[3], 0)
    write_book(builder.store, *TEXTS)
    builder.build(bad_seeds=(bad,))
    other = SpeechBuilder(tmp_path / "other")
    write_book(other.store, *TEXTS)
    other.build(SynthesisOptions(backend, workers, postprocess_workers=beside), bad_seeds=(bad,))
    assert other.files() == builder.files()


@pytest.mark.parametrize(("at", "left"), [(4, 6), (6, 4), (9, 2)])
def test_an_interrupted_build_goes_on_where_it_was(builder: SpeechBuilder, tmp_path: Path, at: int, left: int) -> None:
    """The first three utterances measure the level of the voice, the ninth is a second take. The chunk whose takes were
    not finished is spoken from its first take on."""
    bad = _seed(TEXTS[3], 0)
    write_book(builder.store, *TEXTS)
    builder.build(bad_seeds=(bad,))
    other = SpeechBuilder(tmp_path / "other")
    write_book(other.store, *TEXTS)
    with pytest.raises(KeyboardInterrupt):
        other.build(bad_seeds=(bad,), interrupt_at=at)
    manifest = read_audio_manifest(other.store, BOOK)
    assert manifest is not None
    assert not manifest.complete
    report = other.build(bad_seeds=(bad,))
    assert other.files() == builder.files()
    assert report.spoken == left


def test_a_killed_build_ends_in_the_same_bytes(builder: SpeechBuilder, tmp_path: Path) -> None:
    write_book(builder.store, *TEXTS)
    builder.build()
    other = SpeechBuilder(tmp_path / "other")
    write_book(other.store, *TEXTS)
    with run_program(_BUILD, str(other.folder)) as program:
        assert program.wait() == -signal.SIGKILL
    manifest = read_audio_manifest(other.store, BOOK)
    assert manifest is not None
    assert not manifest.complete
    other.build()
    assert other.files() == builder.files()


def test_an_edit_speaks_what_changed(builder: SpeechBuilder) -> None:
    write_book(builder.store, *TEXTS)
    before = builder.build().manifest
    chunks = write_book(builder.store, "A new first sentence.", *TEXTS[:3], "The captain looked up.", *TEXTS[4:])
    report = builder.build()
    assert report.spoken == 2
    assert [row.chunk_id for row in report.manifest.rows] == [chunk.chunk_id for chunk in chunks]
    gone = {row.key for row in before.rows} - {row.key for row in report.manifest.rows}
    assert len(gone) == 1
    assert not any(builder.store.head(key) for key in gone)


def test_a_take_that_fails_is_tried_again_with_another_seed(builder: SpeechBuilder) -> None:
    write_book(builder.store, *TEXTS)
    report = builder.build(bad_seeds=(_seed(TEXTS[0], 0), _seed(TEXTS[0], 1)))
    row = report.manifest.rows[0]
    assert (row.take, row.takes, row.seed, row.exceptions) == (2, 3, _seed(TEXTS[0], 2), "[]")
    assert (report.spoken, report.retries) == (7, 2)
    assert len(builder.files()) == 6  # five different takes and the manifest


def test_the_best_take_is_kept_where_all_fail(builder: SpeechBuilder) -> None:
    write_book(builder.store, "All of this is clipped.", TEXTS[0])
    report = builder.build()
    row = report.manifest.rows[0]
    assert row.spoken
    assert row.takes == 3
    assert "clipping" in failed_tests(row)
    assert list(report.manifest.exceptions()) == [row]
    assert builder.build().spoken == 0


def test_an_engine_that_ignores_the_seed_is_not_asked_a_third_time(builder: SpeechBuilder) -> None:
    write_book(builder.store, "This one is cut off.", TEXTS[0])
    report = builder.build(stubborn=True)
    row = report.manifest.rows[0]
    assert (row.take, row.takes) == (0, 2)
    assert failed_tests(row) == ["cut_end"]


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        ("I refuse to say it.", "speech_refused", "babble does not say that"),
        ("I fail to say it.", "speech_failed", "TransientEngineError: babble is out of breath (tried 2 times)"),
        ("All is quiet here.", "speech_unusable", "the audio is silent"),
        ("This is broken speech.", "speech_unusable", "the engine returned samples that are not finite"),
        ("The room is empty now.", "speech_unusable", "the audio is empty"),
    ],
)
def test_a_chunk_without_speech_has_a_reason(builder: SpeechBuilder, text: str, reason: str, message: str) -> None:
    write_book(builder.store, TEXTS[0], text)
    first, second = builder.build().manifest.rows
    assert first.spoken
    assert (second.spoken, second.key, second.reason, second.message) == (False, "", reason, message)
    again = builder.build().stats
    assert (again.utterances, again.failures) == (0, 1 if reason == "speech_failed" else 0)


def test_a_book_whose_takes_all_fail_keeps_few_of_them_in_memory(
    builder: SpeechBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    write = Store.put_many
    monkeypatch.setattr(Store, "put_many", lambda store, files: held.append(len(files)) or write(store, files))
    write_book(builder.store, *(f"All of this is clipped, {number} times." for number in range(100, 140)))
    rows = builder.build().manifest.rows
    assert all("clipping" in failed_tests(row) for row in rows)
    assert 0 < max(held) <= 32


def test_a_retry_that_could_not_be_made_is_made_by_the_next_build(builder: SpeechBuilder, tmp_path: Path) -> None:
    """The first take is cut off; an engine that fails at the second does not make the first final."""
    bad, retry = _seed(TEXTS[0], 0), _seed(TEXTS[0], 1)
    write_book(builder.store, *TEXTS)
    row = builder.build(bad_seeds=(bad,), failing=(str(retry),)).manifest.rows[0]
    assert (row.spoken, row.take, failed_tests(row)) == (True, 0, ["cut_end"])
    assert "take 2 could not be spoken (TransientEngineError" in row.message
    report = builder.build(bad_seeds=(bad,))
    assert (report.spoken, report.manifest.rows[0].take, report.manifest.rows[0].message) == (1, 1, "")
    assert builder.build(bad_seeds=(bad,)).spoken == 0
    other = SpeechBuilder(tmp_path / "other")
    write_book(other.store, *TEXTS)
    other.build(bad_seeds=(bad,))
    assert other.files() == builder.files()


def test_a_retry_that_could_not_be_made_after_silence_is_made_by_the_next_build(builder: SpeechBuilder) -> None:
    silent, retry = _seed(TEXTS[0], 0), _seed(TEXTS[0], 1)
    write_book(builder.store, *TEXTS)
    row = builder.build(silent_seeds=(silent,), failing=(str(retry),)).manifest.rows[0]
    assert (row.spoken, row.reason) == (False, "speech_failed")
    row = builder.build(silent_seeds=(silent,)).manifest.rows[0]
    assert (row.spoken, row.take, row.takes) == (True, 1, 2)


def test_redo_speaks_the_next_take_and_keeps_it(builder: SpeechBuilder) -> None:
    write_book(builder.store, *TEXTS)
    builder.build()
    report = builder.build(redo=["001-0003"])
    first, second = report.manifest.rows[2], report.manifest.rows[4]
    assert report.spoken == 1
    assert (first.take, first.first_take, first.takes, second.take) == (1, 1, 1, 0)
    assert first.key != second.key
    write_book(builder.store, "A new beginning for it.", *TEXTS)
    report = builder.build()
    assert report.spoken == 1
    assert [row.take for row in report.manifest.rows] == [0, 0, 0, 1, 0, 0, 0]
    assert builder.row(builder.build(redo=["001-0004"]), "001-0004").take == 2


def test_a_redone_chunk_of_which_no_take_can_be_used_keeps_its_speech(builder: SpeechBuilder) -> None:
    write_book(builder.store, *TEXTS)
    first = builder.build()
    files = builder.files()
    silent = tuple(_seed(TEXTS[0], take) for take in range(1, 8))
    again = builder.build(redo=["001-0001"], silent_seeds=silent)
    assert again.spoken > 0
    assert builder.row(again, "001-0001") == builder.row(first, "001-0001")
    assert builder.files().keys() == files.keys()
    assert builder.build().spoken == 0


def test_a_redone_chunk_stays_so_under_other_validation(builder: SpeechBuilder) -> None:
    write_book(builder.store, *TEXTS)
    builder.build()
    builder.build(redo=["001-0001"])
    strict = builder.config("max_retries: 1\n")
    report = builder.build(settings={"validation": strict})
    assert report.spoken == 0
    assert report.manifest.rows[0].take == 1


def test_other_validation_examines_the_speech_that_is_there(builder: SpeechBuilder) -> None:
    write_book(builder.store, *TEXTS)
    builder.build()
    strict = builder.config("max_retries: 0\ntier1:\n  limits:\n    softest_dbfs: -1.0\n    loudest_dbfs: 0.0\n")
    report = builder.build(settings={"validation": strict})
    assert report.spoken == 0
    assert all(failed_tests(row) == ["level"] for row in report.manifest.rows)
    clean = SpeechBuilder(builder.folder / "clean")
    write_book(clean.store, *TEXTS)
    clean.build(settings={"validation": strict})
    assert clean.files() == builder.files()


@pytest.mark.parametrize("verify", [False, True])
def test_a_damaged_file_is_spoken_again(builder: SpeechBuilder, verify: bool) -> None:
    write_book(builder.store, *TEXTS)
    row = builder.build().manifest.rows[0]
    before = builder.files()
    data = builder.store.get(row.key)
    builder.store.put(row.key, data[:-1] + b"x" if verify else data[:-9])
    report = builder.build(verify=verify)
    assert report.spoken == 1
    assert builder.files() == before


def test_equal_chunks_share_a_file_of_an_engine_that_never_repeats_itself(builder: SpeechBuilder) -> None:
    write_book(builder.store, *TEXTS)
    report = builder.build(wild=True)
    first, second = report.manifest.rows[2], report.manifest.rows[4]
    assert (first.key, first.sha256) == (second.key, second.sha256)
    assert builder.store.hash(first.key) == first.sha256


def test_without_a_finished_text_there_is_no_speech(builder: SpeechBuilder) -> None:
    with pytest.raises(LookupError, match=r"text of the book a book does not exist in .*: run `voice audiobook"):
        builder.build()
    write_book(builder.store, *TEXTS, complete=False)
    with pytest.raises(LookupError, match="the text of the book a book is incomplete"):
        builder.build()


def test_unknown_voices_and_chunks_are_errors(builder: SpeechBuilder) -> None:
    write_book(builder.store, TEXTS[0], make_chunk(2, TEXTS[1], "anna"), make_chunk(3, TEXTS[2], "ben"))
    with pytest.raises(ConfigurationError, match=r"'anna' \(chunk 001-0002\).*'ben' \(chunk 001-0003\)"):
        builder.build()
    with pytest.raises(LookupError, match="a book has no chunk 009-0001"):
        builder.build(redo=["009-0001", "001-0001"])


def test_workers(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.delenv("AUDIOBOOK_BATCH_MODE", raising=False)
    for cores, expected in ((1, 1), (2, 1), (3, 1), (8, 6), (64, 12)):
        monkeypatch.setattr("voice_core.synthesis.sizing.physical_cores", lambda cores=cores: cores)
        monkeypatch.setattr("voice_core.synthesis.sizing.free_memory_gb", lambda: 64.0)
        assert choose_book_workers(Settings()) == expected
    assert caplog.messages[-1] == "Using 12 workers"
    monkeypatch.setattr("voice_core.synthesis.sizing.free_memory_gb", lambda: 1.0)
    assert choose_book_workers(Settings()) == 3  # 0.3 GB each
    monkeypatch.setenv("AUDIOBOOK_BATCH_MODE", "1")
    assert choose_book_workers(Settings.load()) == 1
    assert caplog.messages[-1] == "Using 1 worker"
    assert choose_book_workers(Settings.load(), 8) == 8
    assert caplog.messages[-1] == "Using 8 workers"


_BUILD = """
import sys
from pathlib import Path
from voice_assets_tests.core.audiobook.speech.conftest import SpeechBuilder
SpeechBuilder(Path(sys.argv[1])).build(kill_at=7)
"""


def _seed(text: str, take: int) -> int:
    return SpeechTask(make_chunk(1, text), "", "", 0).take_seed(take)
