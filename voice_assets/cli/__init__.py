"""The `voice` command. Dagster is loaded only by commands that run assets."""

import sys

import typer

from voice_assets.cli import (
    adopt,
    audit,
    build,
    clean,
    demo,
    failures,
    forget,
    moshi,
    plan,
    publish,
    show,
    store_check,
    store_copy,
    trace,
)
from voice_assets.cli.console import errors, print_traceback, show_warnings
from voice_assets.cli.pools import pools
from voice_assets.stopping import EXIT_CODE, Stopped, stop_when_asked

app = typer.Typer(
    name="voice",
    help="Recordings in, training data for speech models out.\n\n"
    "Settings come from VOICE_* environment variables and voice.toml: see `voice settings`.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
)
store = typer.Typer(help="Look at object stores, and move data between them.", no_args_is_help=True)
for module in (plan, build, show, failures, audit, publish, trace, forget, adopt, clean, demo):
    module.register(app)
for module in (store_check, store_copy):
    module.register(store)
spoken = typer.Typer(help="Dialogue scripts, spoken for Moshi fine-tuning.", no_args_is_help=True)
moshi.register(spoken)
app.add_typer(store, name="store")
app.add_typer(spoken, name="moshi")
app.add_typer(pools, name="pools")


def main() -> None:
    """Run the command; a foreseeable error ends in one message and exit code 2."""
    stop_when_asked()
    show_warnings()
    try:
        app()
    except (ValueError, LookupError, OSError, RuntimeError) as error:
        errors.print(f"[bold red]error:[/] {type(error).__name__}: ", end="")
        errors.print(str(error), markup=False, highlight=False)
        sys.exit(2)
    except Exception as error:  # noqa: BLE001 - as Python ends, without secrets and control characters
        print_traceback(error)
        sys.exit(1)
    except Stopped:
        errors.print("interrupted; what was finished is kept, and the same command goes on from there")
        sys.exit(EXIT_CODE)
