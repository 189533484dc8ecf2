"""`voice plan` against what `voice build` then really does, on the small demo corpus."""

import os
import shutil

import pytest
from typer.testing import CliRunner

from resources.corpus import load_configured_codec, open_raw, open_work_read_only
from voice_assets.build import DatasetBuildReport, preview_build
from voice_assets.cli import app
from voice_assets.eta import (
    estimate_stage_times,
    format_codec_label,
    read_encoding_speeds,
)
from voice_assets_tests.assets.conftest import BuiltCorpus, correct_a_line
from voice_core.codecs import CODECS, cached_codec, load_codec
from voice_core.codecs.declaration import CodecDeclaration
from voice_core.codecs.melvq import MelVQ
from voice_core.corpus.ingest.batch_model import Recording
from voice_core.corpus.ingest.batches import read_batches
from voice_core.corpus.ingest.discovery import discover
from voice_core.corpus.plan.build_plan import BuildPlan
from voice_core.corpus.plan.plan import plan_build
from voice_core.corpus.retention.evict import evict_files, plan_eviction
from voice_core.corpus.status import StageState, read_status
from voice_core.storage.store import Store

COUNTERS = ("recordings_decoded", "segments_cut", "segments_encoded")


def plan(built_corpus: BuiltCorpus, *partitions: str) -> BuildPlan:
    return preview_build(built_corpus.settings(), partitions)


def counts(found: BuildPlan) -> tuple[int, ...]:
    stages = found.stages
    return round(stages["decode and cut"].items.value), round(found.cut.value), round(stages["encode"].items.value)


def taken(report: DatasetBuildReport) -> tuple[int, ...]:
    assert report.failures == []
    return tuple(int(report.figures.get(name, 0)) for name in COUNTERS)


def stored(built_corpus: BuiltCorpus) -> dict[str, int]:
    """Bytes by stage: segment files, coded files, Parquet."""
    sizes = dict.fromkeys(("segments", "coded", "rows", "pairs"), 0)
    for path in built_corpus.work.rglob("*"):
        key = path.relative_to(built_corpus.work).as_posix()
        if path.suffix == ".npz":
            sizes[key.split("/")[0]] += path.stat().st_size
        elif path.suffix == ".parquet" and key.startswith(("datasets/voice/data/", "datasets/voice/neutts/")):
            sizes["rows"] += path.stat().st_size
        elif path.suffix == ".parquet" and key.startswith("datasets/voice/pairs/"):
            sizes["pairs"] += path.stat().st_size
    return sizes


def grown(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {stage: after[stage] - before[stage] for stage in after}


def test_the_plan_of_a_fresh_corpus_is_what_the_build_then_does(fresh_corpus: BuiltCorpus) -> None:
    found = plan(fresh_corpus)
    assert not fresh_corpus.work.exists()
    assert (found.batches, found.recordings, found.new, found.splits, found.card) == (2, 21, 21, True, True)
    decode, encode = found.stages["decode and cut"], found.stages["encode"]
    assert not decode.items.exact
    assert not encode.items.exact
    codec = load_codec("melvq")
    unmeasured = estimate_stage_times(found, codec, fresh_corpus.settings(), fresh_corpus.instance)
    assert [item.minutes for item in unmeasured] == [None, None, None]
    assert "run one batch first, or give --encode-speed" in unmeasured[1].note

    before = stored(fresh_corpus)
    report = fresh_corpus.build()
    planned, did = counts(found), taken(report)
    assert planned[:2] == did[:2]  # headers and transcripts tell
    assert planned[2] == pytest.approx(did[2], rel=0.15)  # the default share of kept segments
    assert found.rows_written == len(report.status.partitions)
    sizes = grown(before, stored(fresh_corpus))
    assert decode.stored.value == pytest.approx(sizes["segments"], rel=0.05)
    assert encode.stored.value == pytest.approx(sizes["coded"], rel=0.15)
    assert found.stages["rows"].stored.value == pytest.approx(sizes["rows"], rel=0.35)
    hours = sum(outcome.sample_count for item in report.status.partitions for outcome in item.manifest.recordings)  # type: ignore[union-attr]
    assert decode.audio_sec.value == pytest.approx(hours / 24_000, rel=0.1)


def test_after_a_build_there_is_nothing_to_do(built_corpus: BuiltCorpus) -> None:
    found = plan(built_corpus)
    assert found.empty
    assert counts(found) == (0, 0, 0)
    assert found.work.work_written.value == found.work.stored.value == 0
    shown = CliRunner().invoke(app, ["plan"])
    assert shown.exit_code == 0
    assert "Nothing to do: 21 recordings in 2 batches, all up to date" in shown.stdout


def test_a_corrected_line_takes_its_recording_decoded_up_to_it_one_cut_and_one_encoding(
    built_corpus: BuiltCorpus,
) -> None:
    correct_a_line(built_corpus)
    found = plan(built_corpus)
    assert counts(found) == (1, 1, 1)
    (item,) = found.partitions
    assert str(item.partition) == "Atheer_-/batch-0001"
    assert item.decode.items.exact
    assert item.cut.exact
    (recording,) = [item for item in _recordings(built_corpus) if item.audio_id == "atheer_0003"]
    assert 0 < item.decode.audio_sec.value < recording.duration_sec
    before = stored(built_corpus)
    assert taken(built_corpus.build()) == (1, 1, 1)
    sizes = grown(before, stored(built_corpus))
    assert item.decode.stored.value == pytest.approx(sizes["segments"], abs=20_000)
    assert item.encode.stored.value == pytest.approx(sizes["coded"], abs=20_000)
    assert plan(built_corpus).empty


def _recordings(built_corpus: BuiltCorpus) -> list[Recording]:
    return [item for batch in read_batches(Store(built_corpus.settings().work_url)) for item in batch.recordings]


class AnotherMelVQ(MelVQ):
    """The same codec as another revision."""

    def __init__(self) -> None:
        super().__init__()
        self.revision = "another"


def test_another_revision_of_the_codec_encodes_everything_and_decodes_nothing(built_corpus: BuiltCorpus) -> None:
    assert format_codec_label(MelVQ()) in read_encoding_speeds(built_corpus.instance)
    cached_codec.cache_clear()
    built_corpus.monkeypatch.setitem(CODECS, "melvq", CodecDeclaration("melvq", lambda _: AnotherMelVQ()))
    try:
        found = plan(built_corpus)
        before = stored(built_corpus)
        times = estimate_stage_times(found, load_codec("melvq"), built_corpus.settings(), built_corpus.instance)
        given = estimate_stage_times(
            found, load_codec("melvq"), built_corpus.settings(), built_corpus.instance, encode_speed=60.0
        )
        report = built_corpus.build()
        planned, did = counts(found), taken(report)
    finally:
        cached_codec.cache_clear()
    assert planned == did
    assert planned[:2] == (0, 0)
    assert planned[2] > 30
    encode = found.stages["encode"]
    assert encode.items.exact
    assert encode.audio_sec.exact
    assert encode.stored.value == grown(before, stored(built_corpus))["coded"] == 0
    kept = [e for item in report.status.partitions for e in (item.manifest.kept() if item.manifest else ())]
    assert encode.audio_sec.value == pytest.approx(sum(entry.duration_sec or 0.0 for entry in kept))
    # The speed of the old revision is named, and not used.
    assert times[1].minutes is None
    assert "melvq another" in times[1].note
    assert format_codec_label(MelVQ()) in times[1].note
    assert given[1].minutes is not None
    assert given[1].minutes.value == pytest.approx(encode.audio_sec.value / 60 / 60.0)


def test_a_threshold_moves_verdicts_alone_and_is_counted_exactly(built_corpus: BuiltCorpus) -> None:
    built_corpus.monkeypatch.setenv("VOICE_RULES__MIN_SNR_DB", "30")
    found = plan(built_corpus)
    before = stored(built_corpus)
    report = built_corpus.build()
    assert counts(found) == taken(report) == (0, 0, 0)
    rows = found.stages["rows"].items
    assert rows.exact
    kept = sum(len(item.manifest.kept()) for item in report.status.partitions if item.manifest)
    assert rows.value == pytest.approx(kept, abs=2)  # test rows whose text is in train
    sizes = grown(before, stored(built_corpus))
    assert found.stages["encode"].stored.value == sizes["coded"] < 0
    assert found.stages["rows"].stored.value == pytest.approx(sizes["rows"], rel=0.3)

    built_corpus.monkeypatch.delenv("VOICE_RULES__MIN_SNR_DB")
    back = plan(built_corpus)
    assert back.stages["encode"].items.exact
    assert counts(back) == taken(built_corpus.build())
    assert counts(back)[2] > 0


def test_freed_files_that_are_needed_are_named_with_what_they_take(built_corpus: BuiltCorpus) -> None:
    settings = built_corpus.settings()
    work = Store(settings.work_url)
    for item in plan_eviction(work, built_corpus.build().status.partitions, ["segments", "coded"], settings):
        evict_files(work, item, settings)
    assert plan(built_corpus).empty
    before = stored(built_corpus)
    assert before["segments"] == before["coded"] == 0
    for name, value in {
        "MIN_RMS_DBFS": -90,
        "MAX_SILENCE_SHARE": 1,
        "MAX_CLIPPED_SHARE": 1,
        "MIN_BANDWIDTH_HZ": 0,
    }.items():
        built_corpus.monkeypatch.setenv(
            f"VOICE_RULES__{name}", str(value)
        )  # brings lines back whose files are nowhere else
    found = plan(built_corpus)
    report = built_corpus.build()
    assert counts(found) == taken(report)
    assert counts(found)[2] > 0
    assert sum(item.restored_decode.items.value for item in found.partitions) > 0
    sizes = grown(before, stored(built_corpus))
    grows = sum(work.stored.value for work in found.stages.values())
    assert grows == pytest.approx(sum(sizes.values()), rel=0.1)
    assert {item.coded for item in report.status.partitions} <= {StageState.CURRENT, StageState.FREED}


def test_a_copied_recording_is_read_to_see_that_it_is_the_same_and_no_more(built_corpus: BuiltCorpus) -> None:
    (path,) = [item for item in (built_corpus.raw / "Atheer_-").glob("atheer_0003.*") if item.suffix != ".json"]
    os.utime(path, (1, 1))
    found = plan(built_corpus)
    assert counts(found) == (0, 0, 0)
    assert found.stages["decode and cut"].raw_read.value >= path.stat().st_size
    assert found.rows_written == 0
    report = built_corpus.build()
    assert taken(report) == (0, 0, 0)
    assert plan(built_corpus).empty


def test_new_recordings_and_a_chosen_partition(built_corpus: BuiltCorpus) -> None:
    for path in sorted((built_corpus.raw / "harbour-radio").iterdir()):
        if path.name.startswith(("clocks-004.", "snow-006.")):
            (built_corpus.raw / "second-radio").mkdir(exist_ok=True)
            shutil.copy(path, built_corpus.raw / "second-radio" / path.name)
    correct_a_line(built_corpus)
    all_of_it, one = plan(built_corpus), plan(built_corpus, "second-radio/batch-0001")
    assert [str(item.partition) for item in one.partitions] == ["second-radio/batch-0001"]
    assert one.new == all_of_it.new == 2
    assert counts(all_of_it)[:2] == (counts(one)[0] + 1, counts(one)[1] + 1)
    report = built_corpus.build()
    assert counts(all_of_it)[:2] == taken(report)[:2]
    assert counts(all_of_it)[2] == pytest.approx(taken(report)[2], abs=2)
    written = {item for item in all_of_it.partitions if item.rows_written}
    assert len(written) >= 2
    unknown = CliRunner().invoke(app, ["plan", "-p", "nowhere/batch-0001"])
    assert isinstance(unknown.exception, LookupError)


def test_where_too_many_transcripts_would_be_read_the_rest_is_assumed_to_be_alike(fresh_corpus: BuiltCorpus) -> None:
    settings = fresh_corpus.settings()
    raw, work, codec = open_raw(settings), open_work_read_only(settings), load_configured_codec(settings)
    discovery = discover(raw, work, settings, read_only=True)
    status = read_status(work, discovery, codec, settings)
    every = plan_build(raw, work, discovery, status, codec, settings)
    some = plan_build(raw, work, discovery, status, codec, settings, max_transcripts=8)
    assert "transcripts were not read" in " ".join(some.basis)
    assert some.cut.value == pytest.approx(every.cut.value, rel=0.6)
    assert not some.cut.exact
