from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_core.layout import (
    DatasetLayout,
    PartitionKey,
    RowsFile,
    batch_key,
    contents_key,
    find_partition,
    manifest_key,
    segment_name,
    slug,
    stage_prefix,
    tombstone_key,
)

# All of Unicode, lone surrogates and control characters too, and often what is special to file systems.
NAMES = st.text(st.one_of(st.sampled_from("./\\%~ ,\n\0:*?أ"), st.characters()), max_size=80)
LONG = st.builds(lambda name, times: name * times, NAMES, st.integers(1, 30))


@given(NAMES | LONG)
def test_a_slug_is_safe_as_a_file_name_a_url_part_and_a_partition_key(name: str) -> None:
    made = slug(name)
    assert made
    assert made not in (".", "..")
    assert not set(made) & set("/\\,~:*?\"<>|'#&[]") or (len(name.encode("utf-8", "replace")) > 30 and "~" in made)
    assert ".." not in made
    assert made.isprintable()
    assert made == made.strip()
    assert not made.startswith(".")
    assert len(made.encode("utf-8")) <= 120


@given(NAMES | LONG, NAMES | LONG)
def test_different_names_have_different_slugs(first: str, second: str) -> None:
    assert (slug(first) == slug(second)) == (first == second)


@given(NAMES, NAMES)
def test_names_that_are_cut_differ_too(head: str, tail: str) -> None:
    first, second = "x" * 200 + head, "x" * 200 + tail
    assert (slug(first) == slug(second)) == (head == tail)


@given(NAMES)
def test_the_slug_of_a_slug_differs_so_that_none_can_be_forged(name: str) -> None:
    made = slug(name)
    assert slug(made) == made if made == name else slug(made) != made or "%" not in made


def test_letters_of_every_script_stay_readable() -> None:
    assert slug("Atheer - أثير 42") == "Atheer - أثير 42"
    assert slug("日本語_v1.5") == "日本語_v1.5"


@given(NAMES, st.integers(1, 10**6))
def test_a_partition_key_is_read_back_as_it_was_written(channel: str, number: int) -> None:
    key = PartitionKey(slug(channel), number)
    assert PartitionKey.parse(str(key)) == key
    assert "," not in str(key)


@pytest.mark.parametrize(
    "text",
    ["", "news", "news/", "/batch-0001", "news/batch-1", "news/batch-0000", "news/batch-abcd", "a/b/batch-0001",
     "news/batch-0001/", "news/batch-0001\n", "news/batch--001", "news/batch-20301231"],
)  # fmt: skip
def test_an_invalid_partition_key_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="batch-0001") as caught:
        PartitionKey.parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("name", ["batch-0000", "batch-00001", "batch-٠٠٠١", "batch-20301231"])
def test_a_key_of_a_file_that_only_resembles_a_batch_belongs_to_no_partition(name: str) -> None:
    for key in (f"batches/news/{name}.json", f"news/{name}.y", f"segments/news/{name}/a_seg_0.npz"):
        assert find_partition(key) is None
    assert RowsFile.parse(f"data/news/{name}.train.parquet") is None


@pytest.mark.parametrize("text", ["news/batch-00001", "news/batch-٠٠٠١"])
def test_a_partition_has_one_key_only(text: str) -> None:
    with pytest.raises(ValueError, match="partition key"):
        PartitionKey.parse(text)


@given(NAMES | LONG, NAMES | LONG, st.integers(0, 500_000))
def test_no_name_leads_out_of_the_work_root(channel: str, audio_id: str, index: int) -> None:
    partition = PartitionKey(slug(channel), 1)
    layout = DatasetLayout("voice")
    keys = [
        batch_key(partition),
        contents_key(partition),
        tombstone_key(channel, audio_id),
        manifest_key("segments", partition),
        f"{stage_prefix('coded', partition)}{segment_name(audio_id, index)}.npz",
        layout.rows_key("full", partition, "train"),
        layout.manifest_key(partition),
        layout.pairs_record_key(partition),
    ]
    root = Path("/data/root")
    for key in keys:
        parts = key.split("/")
        assert all(part not in ("", ".", "..") for part in parts)
        assert all(len(part.encode()) < 255 for part in parts)
        assert (root / key).is_relative_to(root)


@given(st.tuples(NAMES, st.integers(0, 9999)), st.tuples(NAMES, st.integers(0, 9999)))
def test_two_segments_never_share_a_file_name(first: tuple[str, int], second: tuple[str, int]) -> None:
    assert (segment_name(*first) == segment_name(*second)) == (first == second)


def test_a_dataset_keeps_everything_below_its_own_root() -> None:
    layout, partition = DatasetLayout("voice"), PartitionKey("news", 3)
    assert layout.rows_key("full", partition, "test") == "datasets/voice/data/news/batch-0003.test.parquet"
    assert layout.rows_key("neutts", partition, "train") == "datasets/voice/neutts/news/batch-0003.train.parquet"
    for key in (layout.card_key, layout.splits_key, layout.summary_key, layout.figures):
        assert key.startswith(layout.root)
