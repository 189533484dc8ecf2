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
from voice_assets.cli.exit_codes import FAILED_EXIT_CODE
from voice_assets.cli.output import console, print_error_line, print_line, show_progress, show_wait_messages
from voice_core.demo.books import VOICES
from voice_core.settings import Settings, config_file
from voice_core.storage.local_files import write_file


def register(app: typer.Typer) -> None:
    app.command("demo")(demo)
    app.command("page")(page)


def demo(
    folder: Annotated[Path, typer.Argument(help="Folder of the demo; created if it does not exist.")] = Path("demo"),
) -> None:
    """Synthesise a small raw bucket with typical defects, and build a dataset from it.

    Then synthesise three dialogues in two voices, in the format that Moshi fine-tuning reads, and two short books as
    audiobooks.

    Writes voice.toml to the folder. Later commands in this directory read ./demo/voice.toml if there is no
    ./voice.toml; for another folder, set VOICE_CONFIG. At the end, prints the accounting of all audio and the path of a
    page to listen to.
    """
    from voice_core.demo.books import write_books
    from voice_core.demo.dialogues import write_dialogues
    from voice_core.demo.sample_data import DEMO_CHANNEL_MAPPING, generate_sample_data

    started = time.monotonic()
    show_progress()
    show_wait_messages()
    sample = generate_sample_data(folder)
    state = "synthesised" if sample.built else "exists already"
    minutes = sum(item.duration_sec or 0.0 for item in sample.recordings) / 60
    console.print(
        f"Raw bucket {sample.raw}: {len(sample.recordings)} recordings, {minutes:.1f} minutes ({state}).", markup=False
    )
    scripts = write_dialogues(folder / "dialogues")
    write_books(folder / "books")
    config = folder / "voice.toml"
    write_file(config, _toml(folder, DEMO_CHANNEL_MAPPING).encode())
    with _environment(
        VOICE_CONFIG=str(config.resolve()),
        VOICE_RAW_URL=str(folder / "raw"),
        VOICE_WORK_URL=str(folder / "work"),
        VOICE_CHANNEL_MAPPING=json.dumps(DEMO_CHANNEL_MAPPING),
        VOICE_MOSHI__SCRIPTS_URL=str(scripts.parent),
        VOICE_AUDIOBOOK__BOOKS_URL=str(folder / "books"),
        VOICE_AUDIOBOOK__VOICES=json.dumps(VOICES),
    ):
        settings = Settings.load()
        succeeded = run_build(settings, [])
        succeeded = _build_dialogues(settings, scripts) and succeeded
        succeeded = _build_books(settings) and succeeded
        _write_page(settings, folder / "listen.html")
    console.print(f"The demo took {time.monotonic() - started:.0f} s. `make ui` opens Dagster on it.")
    if config_file().resolve() != config.resolve():
        console.print(
            f"To use it with other commands, set VOICE_CONFIG={config.resolve()}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    if not succeeded:
        raise typer.Exit(FAILED_EXIT_CODE)


def page(
    path: Annotated[Path, typer.Argument(help="The HTML file to write.")] = Path("listen.html"),
) -> None:
    """Write a page to listen to: random and worst segments, their decoded codes, rejected audio, and dialogues."""
    show_wait_messages()
    _write_page(Settings.load(), path)


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set variables from which Dagster's runs read their settings: ./voice.toml may name other folders."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            os.environ.update({} if value is None else {name: value})


def _build_dialogues(settings: Settings, scripts: Path) -> bool:
    """Synthesise the dialogues and print the result; returns whether everything succeeded."""
    from resources.corpus import open_work
    from voice_assets.instance import open_instance
    from voice_assets.run_speech import speak_dialogues
    from voice_core.moshi.shard_manifest import read_shard_manifest
    from voice_core.moshi.trainer_manifest import trainer_manifest_key

    report = speak_dialogues(settings, open_instance())
    for line in report.failures:
        print_error_line(line, "failed:")
    work = open_work(settings)
    manifests = [found for item in report.partitions if (found := read_shard_manifest(work, item)) is not None]
    kept = [rows for manifest in manifests for _, rows in manifest.kept()]
    seconds = sum(manifest.figures["audio_sec"] for manifest in manifests)
    rough = any(row.approximate for rows in kept for row in rows)
    note = "; word times are approximate: for exact ones, pip install 'voice-data-factory[moshi]' (pocketsphinx)"
    console.print(
        f"Dialogues {scripts}: {sum(manifest.dialogues for manifest in manifests)}, {len(kept)} synthesised, "
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


def _build_books(settings: Settings) -> bool:
    """Build the audiobooks and print the result; returns whether everything succeeded."""
    from resources.corpus import open_work
    from voice_assets.instance import open_instance
    from voice_assets.run_speech import build_audiobooks
    from voice_core.audiobook.audiobook_manifest import read_audiobook_manifest

    report = build_audiobooks(settings, open_instance())
    for line in report.failures:
        print_error_line(line, "failed:")
    work = open_work(settings)
    mastered = [found for book in report.partitions if (found := read_audiobook_manifest(work, book)) is not None]
    seconds = sum(item.duration_sec for item in mastered)
    made = f"{len(mastered)} of {len(report.partitions)}"
    print_line(f"Audiobooks: {made}, {seconds:.0f} s ({report.utterances} utterances now).")
    for row in (row for item in mastered for row in item.rows if row.key.endswith(".m4b")):
        print_line(f"{settings.work_url}/{row.key}")
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
            f"there are no segments in {settings.work_url} (VOICE_WORK_URL) and no dialogues {settings.moshi.name} "
            "(VOICE_MOSHI__NAME): run `voice build` or `voice moshi build` first"
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
        "[audiobook]",
        f"books_url = {json.dumps(str((folder / 'books').resolve()))}",
        "",
        "[audiobook.voices]",
        *(f"{json.dumps(name)} = {json.dumps(voice)}" for name, voice in VOICES.items()),
        "",
        "[channel_mapping]",
        *(f"{json.dumps(key)} = {json.dumps(value, ensure_ascii=False)}" for key, value in mapping.items()),
        "",
    ]
    return "\n".join(lines)
