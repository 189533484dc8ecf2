"""The dataset card, read back as YAML, as Markdown tables, and by `datasets` itself."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import yaml

from voice_assets_tests.core.corpus.dataset.test_summary import RATE, kept, manifest, rejected
from voice_core.audio.pcm import flac_bytes
from voice_core.corpus.dataset import schemas
from voice_core.corpus.dataset.card import read_card_settings, render_card, strip_speaker_tables
from voice_core.corpus.dataset.card_markup import escape_markdown
from voice_core.corpus.dataset.column_descriptions import COLUMN_DESCRIPTIONS
from voice_core.corpus.dataset.summary import summarise
from voice_core.corpus.manifest import Manifest, RecordingOutcome
from voice_core.layout import DatasetLayout, PartitionKey
from voice_core.settings import CardSettings, Settings

SETTINGS = Settings(
    dataset="harbour",
    channel_mapping={"one": "Radio | One\n<b>", "two": "أثير"},
    card=CardSettings(title="Harbour: voices | أصوات", licence="cc-by-4.0", languages=("en", "ar"), sources="Our own."),
)
CODEC = {"codec": "melvq", "revision": "r1", "stand_in": True, "codes_per_sec": 50}


def card(*manifests: Manifest, settings: Settings = SETTINGS, configs: Any = ("full", "neutts"), **more: Any) -> str:
    summary = summarise(manifests, settings)
    given = {"splits": ("train", "test"), **more}
    return render_card(summary, settings, configs=configs, **given)


def front_matter(text: str) -> dict[str, Any]:
    return yaml.safe_load(text.split("---\n")[1])


def table(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, its head left out."""
    lines = text.split(heading + "\n", 1)[1].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    cells = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        cells.append([cell.strip() for cell in line.strip("|").replace("\\|", "\0").split("|")])
    return cells[2:]


def test_the_front_matter_says_what_a_hub_reads() -> None:
    text = card(manifest(kept(RATE, split="train"), **CODEC))
    assert front_matter(text) == {
        "license": "cc-by-4.0",
        "language": ["en", "ar"],
        "task_categories": ["text-to-speech"],
        "pretty_name": "Harbour: voices | أصوات",
        "size_categories": ["n<1K"],
        "tags": ["audio", "speech", "audio-codes", "melvq"],
        "configs": [
            {
                "config_name": "full",
                "default": True,
                "data_files": [
                    {"split": "train", "path": "data/*/batch-*.train.parquet"},
                    {"split": "test", "path": "data/*/batch-*.test.parquet"},
                ],
            },
            {
                "config_name": "neutts",
                "data_files": [
                    {"split": "train", "path": "neutts/*/batch-*.train.parquet"},
                    {"split": "test", "path": "neutts/*/batch-*.test.parquet"},
                ],
            },
        ],
    }
    assert text == card(manifest(kept(RATE, split="train"), **CODEC))


def test_partitions_that_were_built_with_other_parameters_are_named_with_what_differs() -> None:
    def built(number: int, snr_db: float) -> Manifest:
        rules = {"min_snr_db": snr_db, "min_duration_sec": 0.5}
        return manifest(kept(RATE), partition=f"one/batch-{number:04d}", rules=rules, files=[{"key": str(number)}])

    alike = card(built(1, 10.0), built(2, 10.0))
    assert "different parameters" not in alike
    assert ["`rules.min_snr_db`", "`10.0`"] in table(alike, "## Models and parameters")
    text = card(built(1, 10.0), built(2, 15.0), built(3, 10.0))
    section = text.split("## Models and parameters\n")[1].split("\n## ")[0]
    assert "- `one/batch-0001`, `one/batch-0003`: `rules.min_snr_db` `10.0`\n" in section
    assert "- `one/batch-0002`: `rules.min_snr_db` `15.0`\n" in section
    assert table(text, "## Models and parameters") == [["`rules.min_duration_sec`", "`0.5`"]]


def test_the_card_counts_recordings_that_could_not_be_reached() -> None:
    whole = manifest(kept(RATE))
    lost = RecordingOutcome("lost", "lost.mp3", "unreachable", 0)
    text = card(dataclasses.replace(whole, recordings=(*whole.recordings, lost)))
    assert "cut from 2 recordings of 1 channel" in text
    assert "Recordings: 1 ok, 1 unreachable." in text


def test_the_funnel_adds_up_to_the_sample_in_its_last_line() -> None:
    text = card(
        manifest(
            kept(5 * RATE + 1), rejected("rules", "noisy", 12_345), rejected("transcript", "overlap", 7), kept(3 * RATE)
        )
    )
    lines = [
        (line[1], int(line[2].replace(",", "")), int(line[4].replace(",", "")))
        for line in table(text, "## Audio accounting")
    ]
    names = [name for name, *_ in lines]
    assert names == ["overlap", "noisy", "**rejected**", "**kept**", "**total = rejected + kept**"]
    for column in (1, 2):
        values = [line[column] for line in lines]
        assert values[0] + values[1] == values[2]
        assert values[2] + values[3] == values[4]
    assert lines[-1][2] == 8 * RATE + 1 + 12_345 + 7


def test_names_cannot_break_tables() -> None:
    text = card(manifest(kept(RATE, speaker_id="a|b\n| c | `d` <script>"), **CODEC))
    assert table(text, "### By channel") == [["Radio \0 One \\<b\\>", "1", "0.000"]]
    assert len(table(text, "### By speaker")[0]) == 3
    assert "<script>" not in text
    assert escape_markdown("[x](y)") == r"\[x\](y)"


def test_fifty_speakers_are_listed_and_the_rest_counted() -> None:
    text = card(manifest(*(kept(RATE + i, speaker_id=f"S{i:03}") for i in range(63))))
    assert len(table(text, "### By speaker")) == 50
    assert "… and 13 more." in text


def test_stand_in_codes_are_called_that_and_real_or_missing_ones_are_not() -> None:
    stand_in = card(manifest(kept(RATE), **CODEC))
    assert "NOT NeuCodec's" in stand_in
    assert "testing the pipeline only" in stand_in.replace("\n> ", " ")
    assert "NOT NeuCodec's" not in card(manifest(kept(RATE), codec="neucodec", revision="1", stand_in=False))
    without = card(manifest(kept(RATE)), configs=("full",))
    assert "**No codes.**" in without
    assert "`codes`" not in without


def test_neutts_drops_are_listed_with_their_reasons() -> None:
    text = card(manifest(kept(RATE, neutts_drop="digit,ending"), kept(RATE, neutts_drop="ending"), **CODEC))
    assert [line[1] for line in table(text, "## NeuTTS")] == ["2", "1"]
    assert "drops 2 of them" in text
    assert "## NeuTTS" not in card(manifest(kept(RATE)), configs=("full",))


def test_settings_that_only_the_owner_knows_are_requested_on_the_card() -> None:
    text = card(manifest(kept(RATE)), settings=Settings())
    assert "VOICE_CARD__SOURCES" in text
    assert "language" not in front_matter(text)
    assert "VOICE_CARD__SOURCES" not in card(manifest(kept(RATE)))


def test_every_column_of_every_config_is_described() -> None:
    every = (schemas.full_schema(RATE, with_codes=True), schemas.neutts_schema(), schemas.pairs_schema(with_codes=True))
    for schema in every:
        assert set(schema.names) <= set(COLUMN_DESCRIPTIONS)


def test_only_what_has_rows_is_offered() -> None:
    text = card(manifest(kept(RATE), **CODEC), configs={"full": ["train", "test"], "pairs": ["train"], "neutts": []})
    offered = {
        item["config_name"]: [part["split"] for part in item["data_files"]] for item in front_matter(text)["configs"]
    }
    assert offered == {"full": ["train", "test"], "pairs": ["train"]}
    assert "configs" not in front_matter(card(configs=(), splits=()))


def test_the_settings_of_a_card_can_be_read_from_it() -> None:
    settings = Settings(dataset="harbour", card=CardSettings(licence="cc0-1.0", languages=("en",), sources="A.\n\nB."))
    for given in (SETTINGS, settings, Settings(dataset="harbour")):
        text = card(manifest(kept(RATE, split="train")), settings=given)
        assert read_card_settings(text, "harbour") == given.card


def test_without_people_a_card_names_no_speaker_and_no_tone() -> None:
    people = {"speaker_id": "Salma ## x", "gender": "gender-x", "dialect": "najdi", "tone": "tired"}
    text = card(manifest(kept(RATE, split="train", **people), **CODEC))
    left = strip_speaker_tables(text)
    assert all(label in text and label not in left for label in ("Salma", "gender-x", "najdi", "tired"))
    assert "### By channel" in left
    assert "## Durations" in left
    assert "dataset_info" not in left


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two channels, one with an awkward name; the second has no test split."""
    layout = DatasetLayout("harbour")
    tone = (np.sin(np.arange(RATE) / 20) * 9_000).astype(np.int16)
    for partition, splits in (
        (PartitionKey("one", 1), ("train", "test")),
        (PartitionKey("a%2Fb أثير [1]", 2), ("train",)),
    ):
        for split in splits:
            name = f"{partition}/{split}"
            audio = {"bytes": flac_bytes(tone, RATE), "path": "x.flac"}
            full = {"__key__": [name], "audio": [audio], "text": ["نعم"], "codes": [[1, 65_535]]}
            schema = schemas.full_schema(RATE, with_codes=True)
            columns = {item.name: full.get(item.name) or pa.nulls(1, item.type) for item in schema}
            _write(tmp_path / layout.rows_key("full", partition, split), pa.table(columns, schema=schema))
            schema = schemas.neutts_schema()
            columns = {item.name: full[item.name] for item in schema}
            _write(tmp_path / layout.rows_key("neutts", partition, split), pa.table(columns, schema=schema))
    root = tmp_path / layout.root
    (root / "README.md").write_text(card(manifest(kept(RATE, split="train"), **CODEC)), encoding="utf-8")
    (root / "manifests").mkdir()
    (root / "splits.json").write_text("{}")
    return root


def _write(path: Path, data: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(data, path)


def test_datasets_loads_both_configs_and_the_audio_decodes_without_torchcodec(dataset: Path, tmp_path: Path) -> None:
    from datasets import Audio, load_dataset

    full = load_dataset(str(dataset), cache_dir=str(tmp_path / "cache"))  # the default config
    assert {split: part.num_rows for split, part in full.items()} == {"train": 2, "test": 1}
    row = full["train"].cast_column("audio", Audio(decode=False))[0]
    pcm, sample_rate_hz = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
    assert (len(pcm), sample_rate_hz, row["text"]) == (RATE, RATE, "نعم")
    neutts = load_dataset(str(dataset), "neutts", split="train", cache_dir=str(tmp_path / "cache"))
    assert neutts.column_names == ["__key__", "text", "codes"]
    assert neutts[0]["codes"] == [1, 65_535]
