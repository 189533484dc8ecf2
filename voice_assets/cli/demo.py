"""`voice demo`."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from voice_assets.cli.build import run_build
from voice_assets.cli.output import console, errors, show_progress, show_wait_messages
from voice_core.settings import Settings, config_file
from voice_core.storage.local_files import write_file


def register(app: typer.Typer) -> None:
    app.command("demo")(demo)
    app.command("page")(page)


def demo(
    folder: Annotated[Path, typer.Argument(help="Where the demo world lies; made if it is not there.")] = Path("demo"),
) -> None:
    """Speak a small raw bucket, with the troubles of real life in it, and build a dataset from it.

    Then speak three dialogues in two voices, as Moshi fine-tuning reads them.

    Writes the folder's voice.toml. Every later command run from here reads that of ./demo, as long as there is no
    ./voice.toml; that of another folder VOICE_CONFIG has to name. Ends with a table of where every second went, and a
    page to listen to.
    """
    from voice_core.demo.dialogues import write_dialogues
    from voice_core.demo.sample_data import DEMO_CHANNEL_MAPPING, generate_sample_data

    started = time.monotonic()
    show_progress()
    show_wait_messages()
    world = generate_sample_data(folder)
    state = "spoken" if world.built else "already there"
    minutes = sum(item.duration_sec or 0.0 for item in world.recordings) / 60
    console.print(
        f"Raw bucket {world.raw}: {len(world.recordings)} recordings, {minutes:.1f} minutes ({state}).", markup=False
    )
    scripts = write_dialogues(folder / "dialogues")
    config = folder / "voice.toml"
    write_file(config, _toml(folder, DEMO_CHANNEL_MAPPING).encode())
    with _environment(
        VOICE_CONFIG=str(config.resolve()),
        VOICE_RAW_URL=str(folder / "raw"),
        VOICE_WORK_URL=str(folder / "work"),
        VOICE_CHANNEL_MAPPING=json.dumps(DEMO_CHANNEL_MAPPING),
        VOICE_MOSHI__SCRIPTS_URL=str(scripts.parent),
    ):
        settings = Settings.load()
        succeeded = run_build(settings, [])
        succeeded = _build_dialogues(settings, scripts) and succeeded
        _write_page(settings, folder / "listen.html")
    console.print(f"The demo took {time.monotonic() - started:.0f} s. `make ui` opens Dagster on it.")
    if config_file().resolve() != config.resolve():
        console.print(
            f"Other commands read it with VOICE_CONFIG={config.resolve()}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    if not succeeded:
        raise typer.Exit(1)


def page(
    path: Annotated[Path, typer.Argument(help="The HTML file to write.")] = Path("listen.html"),
) -> None:
    """Write a page to listen to: random and worst segments, their decoded codes, what was rejected, and dialogues."""
    show_wait_messages()
    _write_page(Settings.load(), path)


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """What Dagster's runs read their settings from as well: else they would build what ./voice.toml names."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            os.environ.update({} if value is None else {name: value})


def _build_dialogues(settings: Settings, scripts: Path) -> bool:
    """Speak the dialogues, say what came of it, and whether all of it succeeded."""
    from resources.corpus import open_work
    from voice_assets.instance import open_instance
    from voice_assets.run_moshi import speak_dialogues
    from voice_core.moshi.shard_manifest import read_shard_manifest
    from voice_core.moshi.trainer_manifest import trainer_manifest_key

    report = speak_dialogues(settings, open_instance())
    for line in report.failures:
        errors.print("[bold red]failed:[/] ", end="")
        errors.print(line, markup=False, highlight=False)
    work = open_work(settings)
    manifests = [found for item in report.partitions if (found := read_shard_manifest(work, item)) is not None]
    kept = [rows for manifest in manifests for _, rows in manifest.kept()]
    seconds = sum(manifest.figures["audio_sec"] for manifest in manifests)
    rough = any(row.approximate for rows in kept for row in rows)
    note = "; the words' times are approximate: pocketsphinx finds them, pip install 'voice-data-factory[moshi]'"
    console.print(
        f"Dialogues {scripts}: {sum(manifest.dialogues for manifest in manifests)}, of which {len(kept)} are spoken, "
        f"{seconds:.0f} s of stereo ({report.utterances} utterances now){note if rough else ''}.",
        highlight=False,
        markup=False,
    )
    console.print(
        f"{settings.work_url}/{trainer_manifest_key(settings.moshi.name)}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return not report.failures


def _write_page(settings: Settings, path: Path) -> None:
    from resources.corpus import load_configured_codec, open_work_read_only
    from voice_core.corpus.ingest.batches import list_partitions
    from voice_core.moshi.batches import list_scripts
    from voice_core.report.page import build_page

    work = open_work_read_only(settings)
    partitions = list_partitions(work)
    if not partitions and not list_scripts(work, settings.moshi.name):
        raise LookupError(
            f"there is nothing to listen to in {settings.work_url} (VOICE_WORK_URL), and no dialogues "
            f"{settings.moshi.name} (VOICE_MOSHI__NAME): `voice build` and `voice moshi build` make them"
        )
    data = build_page(work, partitions, settings, load_configured_codec(settings))
    write_file(path, data)
    console.print(
        f"Listen: {path.resolve().as_uri()} ({len(data) / 1e6:.1f} MB)", markup=False, highlight=False, soft_wrap=True
    )


def _toml(folder: Path, mapping: dict[str, str]) -> str:
    lines = [
        "# Written by `voice demo`. Copy it to ./voice.toml and change it for your own corpus.",
        f"raw_url = {json.dumps(str((folder / 'raw').resolve()))}",
        f"work_url = {json.dumps(str((folder / 'work').resolve()))}",
        'dataset = "voice"',
        "",
        "[moshi]",
        f"scripts_url = {json.dumps(str((folder / 'dialogues').resolve()))}",
        "",
        "[channel_mapping]",
        *(f"{json.dumps(key)} = {json.dumps(value, ensure_ascii=False)}" for key, value in mapping.items()),
        "",
    ]
    return "\n".join(lines)
