import dataclasses
import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_core.corpus import checks
from voice_core.corpus.dataset import rows_stage
from voice_core.corpus.ingest import batches
from voice_core.corpus.manifest import Entry, Manifest, read_complete_manifest
from voice_core.corpus.names import CODED
from voice_core.corpus.segment.segment_files import dump_segment, load_segment
from voice_core.layout import PartitionKey
from voice_core.stages.checks import CheckOutcome
from voice_core.stages.verdicts import Reject

NEWS = PartitionKey("news", 1)


@pytest.fixture
def done(corpus: Corpus) -> Corpus:
    """Four recordings, completely built, with rows in both splits."""
    for name in "abcd":
        corpus.add_recording(name, 4.0)
    corpus.set(split={"test_fraction": 0.3})
    corpus.build(card=False)
    return corpus


def manifest(corpus: Corpus) -> Manifest:
    return rows_stage.require_dataset_manifest(corpus.work, NEWS, corpus.settings)


def with_entry(whole: Manifest, number: int, **changes: Any) -> Manifest:
    kept = whole.kept()
    changed = dataclasses.replace(kept[number], **changes)
    return dataclasses.replace(whole, entries=tuple(changed if e is kept[number] else e for e in whole.entries))


def failed(outcome: CheckOutcome, *words: str) -> None:
    assert not outcome.passed
    for word in words:
        assert word in outcome.message


def test_a_failed_check_says_that_another_build_has_replaced_the_result(done: Corpus) -> None:
    before = done.segments()
    good, bad = checks.texts_present(before), checks.texts_present(with_entry(before, 0, text=" "))
    assert checks.note_replacement([good, bad], lambda: False) == [good, bad]
    kept, noted = checks.note_replacement([good, bad], lambda: True)
    assert kept == good
    failed(noted, "another build has committed a newer result since", bad.message)


def test_a_finished_dataset_passes_every_check(done: Corpus) -> None:
    segments, coded, rows = done.segments(), read_complete_manifest(done.work, CODED, NEWS), manifest(done)
    outcomes = [
        *(checks.seconds_add_up(item) for item in (segments, coded, rows)),
        *(checks.no_overlap(item) for item in (segments, coded, rows)),
        *(checks.texts_present(item) for item in (segments, coded, rows)),
        *(checks.files_intact(done.work, [(e.key, e.sha256) for e in item.files()]) for item in (segments, coded)),
        checks.files_intact(done.work, rows_stage.list_parquet_files(rows)),
        checks.codes_valid(done.work, coded, done.codec),
        checks.rows_match(done.work, rows),
        checks.splits_do_not_leak([rows], done.settings),
        checks.recordings_sound(segments),
        checks.transcripts_present(batches.read_batch(done.work, NEWS)),
        checks.nothing_failed(coded, "coded"),
    ]
    assert [outcome for outcome in outcomes if not outcome.passed] == []
    assert outcomes[0].figures["seconds_in"] == 16.0
    assert outcomes[0].figures["seconds_kept"] + outcomes[0].figures["seconds_rejected"] == 16.0


@pytest.mark.parametrize("change", [-1, 1, 24_000])
def test_a_single_sample_too_many_or_too_few_is_noticed(done: Corpus, change: int) -> None:
    whole = manifest(done)
    wrong = with_entry(whole, 0, sample_count=whole.kept()[0].sample_count + change)
    failed(checks.seconds_add_up(wrong), "a has 96000 samples", str(96_000 + change))


def test_a_row_that_is_missing_twice_or_a_strangers_is_noticed(done: Corpus) -> None:
    whole = manifest(done)
    failed(checks.seconds_add_up(dataclasses.replace(whole, entries=whole.entries[1:])), "a has")
    failed(checks.seconds_add_up(dataclasses.replace(whole, entries=(*whole.entries, whole.entries[0]))), "a has")
    stranger = Entry("line", "nobody", 0)
    failed(checks.seconds_add_up(dataclasses.replace(whole, entries=(*whole.entries, stranger))), "nobody")


def test_a_file_that_was_changed_or_removed_is_named(done: Corpus) -> None:
    files = [(entry.key, entry.sha256) for entry in done.segments().files()]
    path = done.path(files[2][0])
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    failed(checks.files_intact(done.work, files), files[2][0], "not the file that was committed")
    path.unlink()
    failed(checks.files_intact(done.work, files), files[2][0], "not found")


def test_many_offenders_are_counted_and_some_named(done: Corpus) -> None:
    outcome = checks.files_intact(done.work, [(f"no/such/{number}", "0") for number in range(9)])
    failed(outcome, "no/such/0", "and 4 more")
    assert outcome.figures["offenders"] == 9


@pytest.mark.parametrize("text", ["", "  \n"])
def test_a_kept_row_without_text_is_named(done: Corpus, text: str) -> None:
    failed(checks.texts_present(with_entry(done.segments(), 3, text=text)), "b line 1")


def test_two_segments_that_share_a_sample_are_named(done: Corpus) -> None:
    whole = done.segments()
    first, second = whole.kept()[:2]
    assert first.cut_stop is not None
    failed(checks.no_overlap(with_entry(whole, 1, cut_start=first.cut_stop - 1)), "a line 0 and line 1 share 1 samples")
    assert checks.no_overlap(with_entry(whole, 1, cut_start=first.cut_stop)).passed
    assert second.audio_id == first.audio_id


def test_a_long_segment_over_several_others_is_noticed() -> None:
    whole = Manifest("segments", "news/batch-0001", True, 24_000, "", {}, (), tuple(
        Entry("line", "a", index, cut_start=start, cut_stop=stop) for index, (start, stop) in
        enumerate([(0, 1000), (100, 200), (300, 400)])
    ))  # fmt: skip
    failed(checks.no_overlap(whole), "line 0 and line 1")


@pytest.mark.parametrize(
    ("codes", "why"),
    [
        (lambda codes: codes[:-1], "for its audio"),
        (lambda codes: np.append(codes, 5), "for its audio"),
        (lambda codes: codes[:0], "0 codes"),
        (lambda codes: np.where(np.arange(len(codes)) == 3, 65_536, codes), "outside 0 to 65535"),
        (lambda codes: np.where(np.arange(len(codes)) == 3, -1, codes), "outside"),
        (lambda codes: np.full_like(codes, 7), "only one distinct code"),
    ],
)
def test_wrong_codes_are_found(done: Corpus, codes: Any, why: str) -> None:
    whole = read_complete_manifest(done.work, CODED, NEWS)
    entry = whole.kept()[1]
    segment = load_segment(done.work.get(entry.key), "")
    changed = codes(segment.codes).astype(np.int32)
    done.work.put(entry.key, dump_segment(dataclasses.replace(segment, codes=changed)))
    failed(checks.codes_valid(done.work, whole, done.codec), why)


def test_a_coded_file_that_cannot_be_read_is_named(done: Corpus) -> None:
    whole = read_complete_manifest(done.work, CODED, NEWS)
    done.work.put(whole.kept()[0].key, b"garbage")
    failed(checks.codes_valid(done.work, whole, done.codec), whole.kept()[0].key)


def rewrite(corpus: Corpus, config: str, change: Any) -> None:
    whole = manifest(corpus)
    key = next(item["key"] for item in whole.parameters["files"] if item["config"] == config)
    sink = io.BytesIO()
    pq.write_table(change(pq.read_table(io.BytesIO(corpus.work.get(key)))), sink)
    corpus.work.put(key, sink.getvalue())


@pytest.mark.parametrize("config", ["full", "neutts"])
def test_a_row_twice_or_missing_or_too_many_is_noticed(done: Corpus, config: str) -> None:
    assert checks.rows_match(done.work, manifest(done)).passed
    rewrite(done, config, lambda table: pa.concat_tables([table, table.slice(0, 1)]))
    failed(checks.rows_match(done.work, manifest(done)), "contains a row twice")
    rewrite(done, config, lambda table: table.slice(0, table.num_rows - 2))
    failed(checks.rows_match(done.work, manifest(done)), "differ in 1 row,")


def test_a_column_more_in_neutts_is_noticed(done: Corpus) -> None:
    rewrite(done, "neutts", lambda table: table.append_column("extra", table["text"]))
    failed(checks.rows_match(done.work, manifest(done)), "extra")


def test_a_split_without_its_file_is_noticed(done: Corpus) -> None:
    whole = manifest(done)
    files = [item for item in whole.parameters["files"] if (item["config"], item["split"]) != ("full", "train")]
    changed = dataclasses.replace(whole, parameters={**whole.parameters, "files": files})
    failed(checks.rows_match(done.work, changed), "no file of full", "train")


def test_a_recording_on_both_sides_is_noticed(done: Corpus) -> None:
    whole = manifest(done)
    other = "test" if whole.kept()[0].split == "train" else "train"
    failed(checks.splits_do_not_leak([with_entry(whole, 0, split=other)], done.settings), "recording", "news/a line")


def test_a_text_on_both_sides_is_noticed_however_it_is_written(done: Corpus) -> None:
    whole = manifest(done)
    kept = whole.kept()
    test = next(number for number, entry in enumerate(kept) if entry.split == "test")
    train = next(entry for entry in kept if entry.split == "train")
    leak = with_entry(whole, test, text=f"  {train.text.upper()} !")
    failed(checks.splits_do_not_leak([leak], done.settings), "text")


def test_a_person_on_both_sides_is_noticed_where_ids_mean_persons(done: Corpus) -> None:
    whole = manifest(done)
    assert checks.splits_do_not_leak([whole], done.settings).passed
    for scope in ("channel", "corpus"):
        done.set(split={"speaker_scope": scope})
        failed(checks.splits_do_not_leak([whole], done.settings), "speaker")


def test_recordings_with_problems_warn_and_do_not_block(done: Corpus) -> None:
    done.add_recording("e", 4.0)
    done.transcript_path("e").unlink()
    done.audio_path("f").write_bytes(b"no audio")
    done.segment()
    outcome = checks.recordings_sound(done.segments())
    failed(outcome, "e: no_transcript", "f: unreadable")
    assert outcome.warning
    without = checks.transcripts_present(batches.read_batch(done.work, NEWS))
    failed(without, "e has no transcript")
    assert without.warning


def test_rows_that_a_stage_had_to_leave_out_warn(done: Corpus) -> None:
    whole = manifest(done)
    bad = whole.kept()[0].with_verdict(Reject("dataset", "segment_damaged", message="k is not the file"))
    changed = dataclasses.replace(whole, entries=(bad, *whole.entries[1:]))
    outcome = checks.nothing_failed(changed, "dataset")
    failed(outcome, "a line 0: segment_damaged")
    assert outcome.warning
