"""`voice settings`."""

import json

import typer
from pydantic import BaseModel, SecretStr
from rich.markup import escape
from rich.table import Table

from voice_assets.cli.output import console
from voice_core.settings import ENV_PREFIX, Settings, config_file
from voice_core.settings.loading import DEFAULT_SOURCE, find_setting_source, read_config


def register(app: typer.Typer) -> None:
    app.command("settings")(show_settings)


def show_settings() -> None:
    """Show every setting: its variable, its present value, the source of the value, and its description.

    Keys and tokens are hidden.
    """
    settings = Settings.load()
    file = read_config()
    table = Table(title=escape(f"Settings (from {ENV_PREFIX}* variables and {config_file()})"), title_justify="left")
    table.add_column("variable", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("source", overflow="fold")
    table.add_column("description")
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
