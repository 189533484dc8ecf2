"""`voice status` and `voice settings`."""

import json
from typing import Annotated

import typer
from pydantic import BaseModel, SecretStr
from rich.markup import escape
from rich.table import Table

from voice_assets.cli.console import console, errors, show_progress
from voice_assets.cli.tables import status_tree
from voice_core.settings import ENV_PREFIX, Settings, config_file


def register(app: typer.Typer) -> None:
    app.command("status")(status)
    app.command("settings")(show_settings)


def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show the channels, their batches, which stages are not up to date, and the recordings in trouble.

    Writes nothing. New recordings are shown in the batches that `voice build` would assign them to.
    """
    from voice_assets.build import take_stock

    settings = Settings.load()
    show_progress()
    discovery, found = take_stock(settings)
    if as_json:
        value = {
            "finished": found.finished,
            "splits": found.splits,
            "card": found.card,
            "card_reason": found.card_reason,
            "partitions": [
                {
                    "partition": str(item.partition),
                    "channel": settings.display_name(item.partition.channel),
                    "recordings": len(item.batch.recordings),
                    "hours": item.batch.hours,
                    "sealed": item.batch.sealed,
                    "states": item.states,
                    "reasons": item.reasons,
                }
                for item in found.partitions
            ],
        }
        typer.echo(json.dumps(value, ensure_ascii=False, indent=1))
        return
    console.print(status_tree(found, settings))
    for stray in discovery.listing.strays:
        console.print(f"not used: {stray.key}: {stray.reason}", markup=False, highlight=False)
    if not found.finished:
        errors.print("Not everything is up to date: `voice build` brings it there.")


def show_settings() -> None:
    """Show every setting: its variable, its value now, and what it means."""
    settings = Settings.load()
    table = Table(title=f"Settings (from {ENV_PREFIX}* variables and {config_file()})", title_justify="left")
    table.add_column("variable", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("meaning")
    for group in (settings, *(value for _, value in settings if isinstance(value, BaseModel))):
        prefix = next((f"{name}__" for name, value in settings if value is group), "")
        for name, info in type(group).model_fields.items():
            value = getattr(group, name)
            if isinstance(value, BaseModel):
                continue
            default = info.get_default(call_default_factory=True)
            shown = escape(str(value) if isinstance(value, str | SecretStr) else json.dumps(value, ensure_ascii=False))
            changed = value != default and not name.endswith("_url")
            variable = f"{ENV_PREFIX}{prefix}{name}".upper()
            table.add_row(variable, f"[bold]{shown}[/]" if changed else shown, info.description or "")
        table.add_section()
    console.print(table)
