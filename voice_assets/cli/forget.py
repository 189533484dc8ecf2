"""`voice forget`."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from voice_assets.cli.build import run_build
from voice_assets.cli.console import console, show_progress
from voice_core.corpus.forget import find_recording
from voice_core.corpus.forget import forget as write_forget
from voice_core.settings import Settings


def register(app: typer.Typer) -> None:
    app.command("forget")(forget)


def forget(
    audio_id: Annotated[str, typer.Argument(help="AUDIO_ID, or CHANNEL/AUDIO_ID where several channels have it.")],
    why: Annotated[str, typer.Option(help="Kept with the record that it was forgotten.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a recording from everything that was made of it, and record that.

    Its segments, codes, rows and pairs are removed and the dataset is brought up to date. It is never taken in again,
    though its raw object stays where it is: the raw bucket is only read.
    """
    from resources.corpus import open_work

    settings = Settings.load()
    work = open_work(settings)
    batch, recording = find_recording(work, audio_id)
    if not yes:
        typer.confirm(f"Forget {recording.channel}/{recording.audio_id} ({recording.duration_sec:.0f} s)?", abort=True)
    write_forget(work, settings, audio_id, when=datetime.now(UTC).isoformat(timespec="seconds"), why=why)
    console.print(f"{recording.channel}/{recording.audio_id} is forgotten; removing it from {batch.partition}.")
    show_progress()
    if not run_build(settings, [], False):
        raise typer.Exit(1)
