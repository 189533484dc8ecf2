"""Card, terminal, `voice status --json`, Dagster and the page show the same totals."""

import dataclasses
import json
import re
from typing import Any, get_args

import dagster as dg
import pytest
from typer.testing import CliRunner

from voice_assets.cli import app
from voice_assets.cli.output import console
from voice_assets_tests.assets.conftest import BuiltCorpus
from voice_core.corpus.dataset.summary import REJECTION_STAGES
from voice_core.corpus.manifest import Entry, Manifest, RecordingOutcome, RecordingStatus, load_manifest
from voice_core.layout import DatasetLayout, PartitionKey
from voice_core.storage.store import Store

LAYOUT = DatasetLayout("voice")
Totals = dict[str, Any]


def with_everything(manifest: Manifest) -> Manifest:
    """With recordings of every status that the demo has not got, and a row rejected at every stage.

    One kept row becomes a reject of the stage "dataset", so that the rows are fewer than the codes.
    """
    rate = manifest.sample_rate_hz
    more = sorted(set(get_args(RecordingStatus)) - {item.status for item in manifest.recordings})
    recordings = [RecordingOutcome(f"more-{status}", f"{status}.mp3", status, rate) for status in more]
    rejects = [
        Entry(
            "recording",
            item.audio_id,
            sample_count=rate,
            stage=REJECTION_STAGES[place % len(REJECTION_STAGES)],
            reason=item.status,
        )
        for place, item in enumerate(recordings)
    ]
    extra = [Entry("line", manifest.recordings[0].audio_id, 900 + place, stage=stage, reason="none", text="x")
             for place, stage in enumerate(REJECTION_STAGES)]  # fmt: skip
    entries = list(manifest.entries)
    place = next(place for place, entry in enumerate(entries) if entry.kept)
    entries[place] = dataclasses.replace(entries[place], kept=False, stage="dataset", reason="text_in_train")
    return dataclasses.replace(
        manifest, recordings=(*manifest.recordings, *recordings), entries=(*entries, *rejects, *extra)
    )


def number(text: str) -> float:
    return float(text.replace(",", ""))


def of_card(text: str) -> Totals:
    cells = {row[1].strip(): [cell.strip() for cell in row] for line in text.splitlines()
             if line.startswith("|") and len(row := line.strip("|").split("|")) == 6}  # fmt: skip
    found = re.search(r"Recordings: ([^.]*)\.", text)
    assert found
    by_status = {name: int(count) for count, name in re.findall(r"(\d+) ([a-z ]+)", found[1])}
    lead = re.search(r"cut from ([\d,]+) recordings", text)
    assert lead
    assert number(lead[1]) == sum(by_status.values())
    return {
        "recordings": sum(by_status.values()),
        "rows_kept": number(cells["**kept**"][2]),
        "rows_rejected": number(cells["**rejected**"][2]),
        "seconds_in": number(cells["**total = rejected + kept**"][3]),
        "seconds_kept": number(cells["**kept**"][3]),
        "seconds_rejected": number(cells["**rejected**"][3]),
    }


def of_terminal(text: str) -> Totals:
    rows = [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in text.splitlines() if "│" in line]
    kept = next(row for row in rows if row[0] == "kept")
    total = next(row for row in rows if row[0] == "sum")
    end = next(row for row in rows if row[0].startswith("in "))
    steps = rows[rows.index(kept) + 1 : rows.index(total)]
    assert number(total[2]) == number(kept[2]) + sum(number(row[2]) for row in steps)
    return {
        "recordings": int(end[0].split()[1]),
        "rows_kept": number(kept[2]),
        "rows_rejected": sum(number(row[2]) for row in steps),
        "seconds_in": number(end[3]),
        "seconds_kept": number(kept[3]),
        "seconds_rejected": round(number(total[3]) - number(kept[3]), 3),
    }


def of_page(html: str) -> Totals:
    def cells(mark: str) -> list[str]:
        row = next(part for part in html.split("<tr ") if mark in part).split("</tr>")[0]
        return re.findall(r'class="number[^"]*">([\d.,]+)<', row)

    recordings = re.search(r">([\d,]+) recordings,", html)
    assert recordings
    kept, total = cells('<td class="stage">kept</td>'), cells("total = rejected + kept")
    return {
        "recordings": int(recordings[1]),
        "rows_kept": number(kept[0]),
        "rows_rejected": number(total[0]) - number(kept[0]),
        "seconds_in": number(total[1]),
        "seconds_kept": number(kept[1]),
        "seconds_rejected": round(number(total[1]) - number(kept[1]), 3),
    }


def of_dagster(instance: dg.DagsterInstance) -> Totals:
    event = instance.get_latest_materialization_event(dg.AssetKey("dataset_card"))
    assert event is not None
    assert event.asset_materialization is not None
    return {name: item.value for name, item in event.asset_materialization.metadata.items()}


def of_status() -> Totals:
    return json.loads(CliRunner().invoke(app, ["status", "--json"]).stdout)


def test_every_place_shows_the_same_totals_and_seconds_in_are_kept_and_rejected(
    built_corpus: BuiltCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "width", 200)
    work = Store(built_corpus.work.as_uri())
    key = LAYOUT.manifest_key(PartitionKey("Atheer_-", 1))
    manifest = load_manifest(work, key)
    assert manifest is not None
    changed = with_everything(manifest)
    assert {item.status for item in changed.recordings} == set(get_args(RecordingStatus))
    assert {entry.stage for entry in changed.entries if not entry.kept} == set(REJECTION_STAGES)
    work.put(key, changed.to_bytes())

    built = CliRunner().invoke(app, ["build"])
    assert built.exit_code == 0, built.output
    status = of_status()
    assert status["finished"]
    shown = {
        "card": of_card(work.get(LAYOUT.card_key).decode()),
        "terminal": of_terminal(built.output),
        "status": status["totals"],
        "dagster": of_dagster(built_corpus.instance),
    }
    assert CliRunner().invoke(app, ["page", "listen.html"]).exit_code == 0
    with open("listen.html", encoding="utf-8") as file:
        shown["page"] = of_page(file.read())

    expected = shown["card"]
    for place, totals in shown.items():
        assert {name: totals[name] for name in expected} == expected, place
    manifests = [
        load_manifest(work, LAYOUT.manifest_key(PartitionKey.parse(p["partition"]))) for p in status["partitions"]
    ]
    assert expected["recordings"] == sum(len(item.recordings) for item in manifests if item)
    assert expected["rows_kept"] == sum(len(item.kept()) for item in manifests if item)
    assert expected["seconds_in"] == pytest.approx(expected["seconds_kept"] + expected["seconds_rejected"], abs=0.002)
    for name in ("rows_kept", "seconds_in"):
        assert sum(item["totals"][name] for item in status["partitions"]) == pytest.approx(expected[name])


def test_the_json_status_names_the_recordings_with_problems(built_corpus: BuiltCorpus) -> None:
    troubles = {item["audio_id"]: item for part in of_status()["partitions"] for item in part["troubles"]}
    assert troubles["atheer_0101"]["status"] == "unreadable"
    assert troubles["atheer_0101"]["message"]
    shown = CliRunner().invoke(app, ["status"], env={"COLUMNS": "200"}).stdout
    assert all(f"{item['status']} {name}" in shown for name, item in troubles.items())
