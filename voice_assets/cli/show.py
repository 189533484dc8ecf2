"""`voice status` and `voice settings`."""

import json
from typing import Annotated

import typer
from pydantic import BaseModel, SecretStr
from rich.markup import escape
from rich.table import Table

from voice_assets.cli.output import console, errors, print_json, show_progress
from voice_assets.cli.tables import status_tree
from voice_core.corpus.dataset.summary import summarise
from voice_core.settings import ENV_PREFIX, Settings, config_file
from voice_core.settings.loading import DEFAULT_SOURCE, find_setting_source, read_config


def register(app: typer.Typer) -> None:
    app.command("status")(status)
    app.command("settings")(show_settings)


def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show the channels, their batches, which stages are not up to date, and the recordings in trouble.

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
        console.print(f"not used: {stray.key}: {stray.reason}", markup=False, highlight=False)
    if not found.finished:
        errors.print("Not everything is up to date: `voice build` brings it there.")


def show_settings() -> None:
    """Show every setting: its variable, its value now, where that comes from, and what it means.

    Keys and tokens are hidden.
    """
    settings = Settings.load()
    file = read_config()
    table = Table(title=escape(f"Settings (from {ENV_PREFIX}* variables and {config_file()})"), title_justify="left")
    table.add_column("variable", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("from", overflow="fold")
    table.add_column("meaning")
    for group in (settings, *(value for _, value in settings if isinstance(value, BaseModel))):
        path = next(([name] for name, value in settings if value is group), [])
        for name, info in type(group).model_fields.items():
            value = getattr(group, name)
            if isinstance(value, BaseModel):
                continue
            shown = escape(str(value) if isinstance(value, str | SecretStr) else json.dumps(value, ensure_ascii=False))
            source = find_setting_source([*path, name], file)
            variable = f"{ENV_PREFIX}{'__'.join([*path, name])}".upper()
            value_cell = shown if source == DEFAULT_SOURCE else f"[bold]{shown}[/]"
            table.add_row(variable, value_cell, escape(source), info.description or "")
        table.add_section()
    console.print(table)
