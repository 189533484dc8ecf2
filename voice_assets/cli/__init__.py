"""The `voice` command. Dagster is loaded only by commands that run assets."""

import sys

import typer

from voice_assets.cli import build, demo, forget, show
from voice_assets.cli.console import errors

app = typer.Typer(
    name="voice",
    help="Recordings in, training data for speech models out.\n\n"
    "Settings come from VOICE_* environment variables and voice.toml: see `voice settings`.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
)
for module in (build, show, forget, demo):
    module.register(app)


def main() -> None:
    """Run the command; a foreseeable error ends in one message and exit code 2."""
    try:
        app()
    except (ValueError, LookupError, OSError, RuntimeError) as error:
        errors.print(f"[bold red]error:[/] {type(error).__name__}: ", end="")
        errors.print(str(error), markup=False, highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        errors.print("interrupted; what was finished is kept, and the same command goes on from there")
        sys.exit(130)
