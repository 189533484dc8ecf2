"""`voice status`."""

from typing import Annotated

import typer

from voice_assets.cli.output import console, errors, print_json, print_line, show_progress
from voice_assets.cli.tables import status_tree
from voice_core.corpus.dataset.summary import summarise
from voice_core.settings import Settings


def register(app: typer.Typer) -> None:
    app.command("status")(status)


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the channels, their batches, the stages that are not up to date, and recordings with problems.

    Writes nothing. New recordings are shown in the batches that `voice build` would assign them to.
    """
    from voice_assets.build import compute_status

    settings = Settings.load()
    show_progress()
    discovery, found = compute_status(settings)
    if as_json:
        value = {
            "finished": found.finished,
            "splits": found.splits,
            "card": found.card,
            "totals": found.summary(settings).totals,
            "card_reason": found.card_reason,
            "partitions": [
                {
                    "partition": str(item.partition),
                    "channel": settings.display_name(item.partition.channel),
                    "recordings": len(item.batch.recordings),
                    "hours": item.batch.hours,
                    "sealed": item.batch.sealed,
                    "states": item.states,
                    "totals": summarise([item.latest_complete], settings).totals if item.latest_complete else None,
                    "troubles": [
                        {"audio_id": outcome.audio_id, "status": outcome.status, "message": outcome.message}
                        for outcome in item.problem_recordings
                    ],
                    "reasons": item.reasons,
                }
                for item in found.partitions
            ],
        }
        print_json(value)
        return
    console.print(status_tree(found, settings))
    for stray in discovery.listing.strays:
        print_line(f"not used: {stray.key}: {stray.reason}")
    if not found.finished:
        errors.print("Some stages are not up to date: run `voice build`.")
