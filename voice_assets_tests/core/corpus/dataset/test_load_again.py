"""`datasets` keeps what it loaded in a cache of its own: after a change of the dataset it must not return that."""

import datasets
import pytest

from voice_assets_tests.core.corpus.small_corpus import Corpus, make_lines
from voice_core.corpus.forget.forget import mark_forgotten
from voice_core.layout import DatasetLayout


@pytest.fixture
def cached(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """Two recordings, built, with a cache of `datasets` that later loads share."""
    for name in ("one", "two"):
        corpus.add_recording(name, 6, [line | {"text": f"{line['text']} {name}"} for line in make_lines(6, name)])
    corpus.set(split={"test_fraction": 0.0})
    corpus.build()
    return corpus


def texts(corpus: Corpus, config: str, **options: bool) -> list[str]:
    """The texts of a config's rows as a trainer loads them, without `force_redownload`."""
    folder = str(corpus.path(DatasetLayout(corpus.settings.dataset).root))
    column = "target_text" if config == "pairs" else "text"
    rows = datasets.load_dataset(folder, config, split="train", cache_dir=str(corpus.raw_dir.parent / "hf"), **options)
    return [row[column] for row in rows.select_columns([column])]


@pytest.mark.parametrize("config", ["full", "neutts", "pairs"])
def test_a_forgotten_recording_is_not_in_the_next_load(cached: Corpus, config: str) -> None:
    assert any("two" in text for text in texts(cached, config))
    mark_forgotten(cached.work, "two", when="2030-01-01", why="")
    cached.build()
    again = texts(cached, config)
    assert again
    assert not [text for text in again if "two" in text]


def test_a_corrected_line_and_a_new_channel_are_in_the_next_load(cached: Corpus) -> None:
    texts(cached, "full")
    lines = make_lines(6, "one")
    lines[0]["text"] = "Corrected."
    cached.write_transcript("one", lines)
    cached.build()
    assert "Corrected." in texts(cached, "full")
    cached.add_recording("three", 6, channel="other")
    cached.build()
    assert any("three" in text for text in texts(cached, "full"))


def test_an_unchanged_dataset_is_loaded_from_the_cache(cached: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    first = texts(cached, "full")
    cached.build()
    monkeypatch.setattr(datasets.builder.DatasetBuilder, "_download_and_prepare", None)
    assert texts(cached, "full") == first


def test_a_dataset_of_the_same_name_elsewhere_is_not_taken_for_this_one(
    cached: Corpus, tmp_path_factory: pytest.TempPathFactory
) -> None:
    texts(cached, "full")
    other = Corpus(tmp_path_factory.mktemp("elsewhere"))
    other.set(split={"test_fraction": 0.0})
    other.add_recording("five", 6)
    other.build()
    folder = str(other.path(DatasetLayout("voice").root))
    rows = datasets.load_dataset(folder, "full", split="train", cache_dir=str(cached.raw_dir.parent / "hf"))
    assert set(rows["audio_id"]) == {"five"}


def test_a_stream_has_the_current_rows(cached: Corpus) -> None:
    assert any("two" in text for text in texts(cached, "full", streaming=True))
    mark_forgotten(cached.work, "two", when="2030-01-01", why="")
    cached.build()
    assert not [text for text in texts(cached, "full", streaming=True) if "two" in text]
