"""What is freed is gone on purpose: nothing is computed because of it, and what is needed comes back to the byte."""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest

from voice_assets_tests.core.corpus.small_corpus import Corpus, OtherLastCode, SmallCodec, make_line, make_lines
from voice_core.codecs.base import Audio, Codes, Margins
from voice_core.corpus.checks import codes_valid, files_intact, rows_match
from voice_core.corpus.dataset import pairs, rows_stage
from voice_core.corpus.evicted import read_evicted, write_evicted
from voice_core.corpus.forget.forget import mark_forgotten
from voice_core.corpus.ingest.batches import list_partitions
from voice_core.corpus.manifest import read_complete_manifest, read_manifest
from voice_core.corpus.names import CODED
from voice_core.corpus.retention import evict
from voice_core.corpus.retention.evict import DerivedFilesDamagedError, EvictionPlan, RebuildCost
from voice_core.corpus.segment import segment_stage
from voice_core.corpus.status import read_status
from voice_core.layout import PartitionKey
from voice_core.storage.store import Store, StoreError

NEWS = PartitionKey("news", 1)


@pytest.fixture
def built(corpus: Corpus) -> Corpus:
    """Two recordings; the last line of each is rejected by a rule, and so has a segment file and no coded one."""
    for name in ("a", "b"):
        lines = make_lines(6.0, name)
        lines[-1]["text"] = f"Far too long a text for {name} in such a short time. " * 3
        corpus.add_recording(name, lines=lines)
    corpus.build()
    assert [entry.reason for entry in corpus.rows("a") if entry.key] == ["", "", "text_too_fast"]
    return corpus


def states(corpus: Corpus) -> dict[str, str]:
    return {name: str(state) for name, state in corpus.status().partitions[0].states.items()}


def plans(corpus: Corpus, *stages: str, force: bool = False) -> list[EvictionPlan]:
    return evict.plan_eviction(corpus.work, corpus.status().partitions, stages, corpus.settings, force=force)


def clean(corpus: Corpus, *stages: str, force: bool = False) -> list[EvictionPlan]:
    done = plans(corpus, *stages, force=force)
    for plan in done:
        assert not plan.refusal
        evict.evict_files(corpus.work, plan, corpus.settings)
    return done


def npz(corpus: Corpus, stage: str) -> set[str]:
    return {key for key in corpus.files(stage) if key.endswith(".npz")}


def intact(corpus: Corpus) -> None:
    """The checks hold, and what is listed and not freed lies there."""
    rows = rows_stage.require_dataset_manifest(corpus.work, NEWS, corpus.settings)
    coded = read_complete_manifest(corpus.work, CODED, NEWS)
    listed = [(e.key, e.sha256) for m in (corpus.segments(), coded) for e in m.files()]
    for outcome in (
        files_intact(corpus.work, [*listed, *rows_stage.list_parquet_files(rows)]),
        codes_valid(corpus.work, coded, corpus.codec),
        rows_match(corpus.work, rows),
    ):
        assert outcome.passed, outcome


def published(corpus: Corpus, keys: Collection[str]) -> None:
    root = f"datasets/{corpus.settings.dataset}/"
    files = [
        {"path": key.removeprefix(root), "sha256": digest} for key, digest in corpus.files(root).items() if key in keys
    ]
    place = {"endpoint": "http://hub", "repo_id": "me/voices", "branch": "main", "revision": "abc", "files": files}
    corpus.path(f"{root}published.json").write_text(json.dumps({"publications": [place]}))


def test_freed_stages_have_no_files_are_current_and_recompute_nothing(built: Corpus) -> None:
    before, encoded = built.files(), built.codec.encoded
    done = clean(built, "segments", "coded")
    assert npz(built, "segments") == npz(built, "coded") == set()
    assert sum(len(plan.files) for plan in done) == 6 + 4
    assert states(built) == {
        "raw_audio": "current", "segments": "freed", "coded_segments": "freed",
        "voice_dataset": "current", "voice_pairs": "current",
    }  # fmt: skip
    assert built.status().finished
    intact(built)
    report = built.segment()
    assert (report.recordings_decoded, report.segments_cut) == (0, 0)
    built.build()
    assert built.codec.encoded == encoded
    after = built.files()
    assert {key for key in before.keys() - after.keys() if not key.endswith(".npz")} == set()
    assert all(before[key] == digest for key, digest in after.items() if key in before)
    assert built.status().finished


def test_the_plan_lists_what_is_freed_and_the_work_to_rebuild_it(built: Corpus) -> None:
    segments, coded = plans(built, "segments", "coded")
    assert (len(segments.files), len(coded.files)) == (6, 4)
    assert segments.size_bytes == sum(built.path(key).stat().st_size for key in npz(built, "segments"))
    assert segments.rebuild == RebuildCost(copied=4, decode_recordings=2, decode_hours=pytest.approx(12 / 3600))
    assert coded.rebuild == RebuildCost(copied=4)
    *_, rows = plans(built, "segments", "coded", "datasets", force=True)
    assert rows.rebuild == RebuildCost(0, 2, pytest.approx(12 / 3600), encode_segments=4)
    assert npz(built, "segments")  # planning deletes nothing


def test_a_rule_that_keeps_more_cuts_just_what_it_keeps(built: Corpus) -> None:
    whole = built.files("segments")
    clean(built, "segments", "coded")
    built.set(rules={"max_chars_per_sec": 1000.0})
    encoded = built.codec.encoded
    built.build()
    assert built.codec.encoded == encoded + 2  # the other four came back from the dataset's rows
    fresh = npz(built, "segments")
    assert fresh == {key for key in whole if key.endswith("_2.npz")}
    assert {key: built.files("segments")[key] for key in fresh} == {key: whole[key] for key in fresh}
    intact(built)
    assert len(rows_stage.require_dataset_manifest(built.work, NEWS, built.settings).kept()) == 6


def test_another_codec_takes_the_audio_from_the_coded_files_and_decodes_nothing(
    built: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = built.files("segments")
    clean(built, "segments")
    monkeypatch.setattr(
        "voice_core.corpus.segment.rebuild._cut_again", lambda *args: pytest.fail("a recording was decoded")
    )
    built.codec = SmallCodec("2")
    built.build()
    assert built.codec.encoded == 4
    assert {key: digest for key, digest in whole.items() if key in npz(built, "segments")} == {
        key: digest for key, digest in built.files("segments").items() if key.endswith(".npz")
    }
    intact(built)


def test_coded_files_are_rebuilt_from_the_rows_to_the_byte_when_the_rows_are_written_again(built: Corpus) -> None:
    before = built.files()
    clean(built, "segments", "coded")
    encoded = built.codec.encoded
    built.set(channel_mapping={"news": "The news"})
    built.build()
    assert built.codec.encoded == encoded
    assert built.files("coded") == {key: digest for key, digest in before.items() if key.startswith("coded/")}
    assert npz(built, "segments") == set()
    assert states(built)["coded_segments"] == "current"


def test_a_corrected_line_takes_one_cut_and_one_encoding_and_the_rest_comes_from_the_rows(built: Corpus) -> None:
    clean(built, "segments", "coded")
    lines = json.loads(built.transcript_path("a").read_text())["segments"]
    lines[0]["text"] = "Amber a, corrected."
    built.write_transcript("a", lines)
    report = built.segment()
    assert (report.recordings_decoded, report.segments_cut) == (1, 1)
    assert len(npz(built, "segments")) == 1
    encoded = built.codec.encoded
    built.build()
    assert built.codec.encoded == encoded + 1
    intact(built)
    texts = [entry.text for entry in rows_stage.require_dataset_manifest(built.work, NEWS, built.settings).kept()]
    assert "Amber a, corrected." in texts
    assert built.status().finished


def test_freed_published_rows_are_rebuilt_from_the_recordings_when_they_are_needed(
    built: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = built.files()
    parquet = {key for key in before if key.endswith(".parquet") and "/manifests/" not in key and "datasets/" in key}
    (refused,) = plans(built, "datasets")
    assert "not published" in refused.refusal
    published(built, parquet)
    clean(built, "segments", "coded", "datasets")
    assert not parquet & built.files().keys()
    assert states(built)["voice_dataset"] == states(built)["voice_pairs"] == "freed"
    intact(built)
    built.build(card=False)
    assert not parquet & built.files().keys()
    monkeypatch.setattr(pairs, "PAIRS_VERSION", 1_000)
    built.build()
    assert parquet <= built.files().keys()
    assert {k: built.files()[k] for k in parquet if "/pairs/" not in k} == {
        k: before[k] for k in parquet if "/pairs/" not in k
    }
    intact(built)


class Held(SmallCodec):
    """A codec on a GPU, which somebody else may have whenever this one does not hold it."""

    held = ""

    @contextmanager
    def ready(self, purpose: str) -> Iterator[None]:
        self.held = purpose
        yield
        self.held = ""

    def encode(self, clips: Sequence[Audio], sample_rate_hz: int | None = None) -> list[Codes]:
        assert self.held == f"encoding freed files of {NEWS} again"
        return super().encode(clips, sample_rate_hz)


def test_the_gpu_is_held_while_freed_files_are_encoded_again(built: Corpus) -> None:
    parquet = {key for key in built.files() if key.endswith(".parquet") and "/manifests/" not in key}
    published(built, parquet)
    clean(built, "segments", "coded", "datasets")
    built.codec = Held()
    built.set(channel_mapping={"news": "The news"})  # so that rows are written again
    built.build()
    assert built.codec.encoded == 4
    intact(built)


def test_derived_files_must_be_current_and_intact(built: Corpus) -> None:
    coded = next(iter(npz(built, "coded")))
    data = built.path(coded).read_bytes()
    built.path(coded).write_bytes(data[:-4] + b"\0\0\0\1")
    (plan,) = plans(built, "segments")
    with pytest.raises(DerivedFilesDamagedError, match=r"derived from it are missing or corrupt.*--verify"):
        evict.evict_files(built.work, plan, built.settings)
    assert len(npz(built, "segments")) == 6
    assert read_evicted(built.work, "segments", NEWS) == {}
    built.path(coded).write_bytes(data)
    built.add_recording("c")
    built.snapshot()
    (plan,) = plans(built, "segments")
    assert plan.refusal == "segments is stale, coded_segments is stale: run `voice build` first"
    assert not plan.files


def test_a_plan_that_is_no_longer_true_frees_nothing(built: Corpus) -> None:
    (plan,) = plans(built, "segments")
    built.add_recording("c")
    built.build()
    with pytest.raises(DerivedFilesDamagedError, match="has changed since it was planned"):
        evict.evict_files(built.work, plan, built.settings)


def test_files_of_vanished_recordings_stay_through_every_cleaning(built: Corpus) -> None:
    built.audio_path("a").unlink()
    built.build()
    done = clean(built, "segments", "coded")
    assert [plan.retained for plan in done] == [
        "3 files of recordings that the raw bucket lacks: a",
        "2 files of recordings that the raw bucket lacks: a",
    ]
    assert {key.rsplit("/", 1)[-1][:1] for key in npz(built, "segments") | npz(built, "coded")} == {"a"}
    assert built.status().finished


def test_rows_that_are_the_last_copy_of_a_vanished_recording_are_not_freed(built: Corpus) -> None:
    clean(built, "segments", "coded")
    built.audio_path("a").unlink()
    encoded = built.codec.encoded
    built.build()
    assert built.codec.encoded == encoded
    assert len(rows_stage.require_dataset_manifest(built.work, NEWS, built.settings).kept()) == 4
    built.work.delete(npz(built, "coded"))
    freed = {entry.key: entry.sha256 for entry in read_complete_manifest(built.work, CODED, NEWS).kept()}
    write_evicted(built.work, "coded", NEWS, freed)
    (plan,) = plans(built, "datasets", force=True)
    assert plan.refusal == "its rows are the last copy of recordings that the raw bucket lacks: a"


class Dying(Store):
    """A store whose process dies in the middle of a deletion."""

    def delete(self, keys: Iterator[str]) -> None:  # type: ignore[override]
        keys = iter(list(keys))
        first = next(keys, None)
        if first is not None and first.endswith(".npz"):
            super().delete([first])
            raise StoreError("killed")
        super().delete([] if first is None else [first, *keys])


def test_a_deletion_that_was_killed_leaves_a_known_state_and_the_same_command_finishes(built: Corpus) -> None:
    (plan,) = plans(built, "segments")
    with pytest.raises(StoreError, match="killed"):
        evict.evict_files(Dying(built.settings.work_url), plan, built.settings)
    assert len(npz(built, "segments")) == 5
    assert states(built)["segments"] == "freed"
    intact(built)
    assert built.segment().recordings_decoded == 0
    clean(built, "segments")
    assert npz(built, "segments") == set()


def test_a_forgotten_recording_leaves_the_record_of_what_was_freed_too(built: Corpus) -> None:
    clean(built, "segments", "coded")
    mark_forgotten(built.work, "a", when="2030-01-01", why="")
    built.build()
    for stage in ("segments", "coded"):
        assert not [key for key in read_evicted(built.work, stage, NEWS) if "/a_seg_" in key]
    assert {
        entry.audio_id for entry in rows_stage.require_dataset_manifest(built.work, NEWS, built.settings).kept()
    } == {"b"}


def test_without_a_codec_segments_are_rebuilt_from_the_rows(corpus: Corpus) -> None:
    corpus.set(codec="none")
    corpus.add_recording("a")
    corpus.build()
    before = corpus.files("segments")
    done = evict.plan_eviction(
        corpus.work,
        read_status(corpus.work, corpus.discover(), None, corpus.settings).partitions,
        ["segments"],
        corpus.settings,
    )
    for plan in done:
        evict.evict_files(corpus.work, plan, corpus.settings)
    assert npz(corpus, "segments") == set()
    corpus.set(channel_mapping={"news": "The news"})
    corpus.build()
    assert corpus.files("segments") == before


def test_a_freed_file_that_nothing_gives_back_is_a_row_with_a_reason(built: Corpus) -> None:
    clean(built, "segments", "coded")
    for key in list(built.files(f"datasets/{built.settings.dataset}/data")):
        built.path(key).unlink()
    built.audio_path("a").unlink()
    built.build()
    manifest = read_manifest(built.work, "dataset", NEWS) or rows_stage.require_dataset_manifest(
        built.work, NEWS, built.settings
    )
    lost = {entry.reason for entry in manifest.entries if entry.audio_id == "a" and entry.text and not entry.kept}
    assert lost <= {"segment_damaged", "segment_missing", "text_too_fast"}
    assert len([entry for entry in manifest.kept() if entry.audio_id == "b"]) == 2


class OtherCodes(OtherLastCode):
    """The same codec on another machine, which gives these codes by its plain path too."""

    def encode_reference(self, clip: Audio, sample_rate_hz: int | None = None) -> tuple[Codes, Margins]:
        [codes] = self.encode([clip], sample_rate_hz)
        return codes, np.ones(len(codes), np.float32)


def test_freed_codes_that_are_rebuilt_differently_are_reported_and_encoded_again_by_the_next_build(
    built: Corpus, caplog: pytest.LogCaptureFixture
) -> None:
    clean(built, "segments", "coded")
    for key in list(built.files(f"datasets/{built.settings.dataset}/data")):
        built.path(key).unlink()
    built.codec = OtherCodes()
    built.build()
    assert "4 files of coded, such as coded/news/batch-0001/a_seg_0.npz, could not be rebuilt" in caplog.text
    assert states(built)["coded_segments"] == "stale"
    built.build()
    assert len(rows_stage.require_dataset_manifest(built.work, NEWS, built.settings).kept()) == 4
    assert states(built)["coded_segments"] == "current"
    assert built.status().finished
    intact(built)


def test_lines_out_of_range_have_no_files_to_free(corpus: Corpus) -> None:
    corpus.add_recording("a", lines=[make_line(0.2, 1.8, "Inside."), make_line(60.0, 62.0, "Outside.")])
    corpus.build()
    (plan,) = plans(corpus, "segments")
    assert len(plan.files) == 1
    assert list_partitions(corpus.work) == [NEWS]
    assert segment_stage.is_current(corpus.work, corpus.snapshot()[0], corpus.settings)
