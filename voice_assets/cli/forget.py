"""`voice forget`."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from voice_assets.cli.build import run_build
from voice_assets.cli.console import confirm, console, errors, show_progress
from voice_core.corpus.forget import find_recording
from voice_core.corpus.forget import forget as write_forget
from voice_core.settings import ConfigurationError, Settings

if TYPE_CHECKING:
    from voice_core.publishing.record import Published
    from voice_core.store import Store


def register(app: typer.Typer) -> None:
    app.command("forget")(forget)


def forget(
    audio_id: Annotated[str, typer.Argument(help="AUDIO_ID, or CHANNEL/AUDIO_ID where several channels have it.")],
    why: Annotated[str, typer.Option(help="Kept with the record that it was forgotten.")] = "",
    purge_history: Annotated[
        bool,
        typer.Option(
            "--purge-history",
            help="Where the dataset was published, also delete for good what only old revisions use. No way back.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a recording from everything that was made of it, and record that.

    Its segments, codes, rows and pairs are removed and the dataset is brought up to date. It is never taken in again,
    though its raw object stays where it is: the raw bucket is only read. Where the dataset was published, the
    difference is published too; old revisions there keep the audio, unless with --purge-history.
    """
    from resources.corpus import open_work
    from voice_core.publishing.record import read_published

    settings = Settings.load()
    work = open_work(settings)
    batch, recording = find_recording(work, audio_id)
    publications = read_published(work, settings)
    if not yes:
        confirm(f"Forget {recording.channel}/{recording.audio_id} ({recording.duration_sec:.0f} s)?", abort=True)
    write_forget(work, audio_id, when=datetime.now(UTC).isoformat(timespec="seconds"), why=why)
    name = f"{recording.channel}/{recording.audio_id}"
    console.print(f"{name} is forgotten; removing it from {batch.partition}.", markup=False, highlight=False)
    show_progress()
    if not run_build(settings, [], False):
        for place in publications:
            errors.print(
                f"It is still at {place.url}: mend the build, then run `voice publish --purge-history`.", markup=False
            )
        raise typer.Exit(1)
    left = [place for place in publications if not follow(work, settings, place, purge_history, yes)]
    if left:
        raise typer.Exit(1)


def follow(work: "Store", settings: Settings, place: "Published", purge_history: bool, yes: bool) -> bool:
    """Take the recording out of a place that the dataset was published to, and say whether it is out."""
    from voice_assets.cli.publish import at_hub, publish_now, purge_now
    from voice_core.publishing.errors import HubError
    from voice_core.publishing.publish import open_hub

    # What is public already does not become more so.
    there = at_hub(settings, place.repo_id, place.branch)
    there = there.model_copy(update={"hub": there.hub.model_copy(update={"private": False})})
    again = f"`voice publish --repo {place.repo_id} --revision {place.branch} --purge-history`"
    try:
        endpoint = open_hub(there).endpoint
        if endpoint != place.endpoint:
            raise ConfigurationError(f"HF_ENDPOINT leads to {endpoint}: set it to {place.endpoint}")
        if not yes and not confirm(f"Publish that to {place.url} now?", default=True):
            errors.print(f"It is still there: {again} removes it.", highlight=False)
            return True
        publish_now(work, there, create=False)
        if purge_history:
            purge_now(work, there, yes=yes)
            return True
    except (HubError, ConfigurationError) as error:
        errors.print(f"[bold red]It is still at {place.url}[/], and {again} removes it: ", end="", highlight=False)
        errors.print(str(error), markup=False, highlight=False)
        return False
    errors.print(
        f"[yellow]Old revisions of {place.url} still hold its audio:[/] {again} removes it from them.", highlight=False
    )
    return True
