"""The `voice` command. Dagster is loaded only by commands that run assets."""

import sys

import typer

from voice_assets.cli import (
    adopt,
    audiobook,
    audit,
    build,
    clean,
    demo,
    failures,
    forget,
    moshi,
    plan,
    publish,
    settings,
    status,
    store_check,
    store_copy,
    trace,
)
from voice_assets.cli.exit_codes import INTERRUPTED_EXIT_CODE, report_error
from voice_assets.cli.output import errors, show_warnings
from voice_assets.cli.pools import pools
from voice_assets.signals import Interrupted, install_signal_handlers

app = typer.Typer(
    name="voice",
    help="Recordings in, training data for speech models out.\n\n"
    "Settings come from VOICE_* environment variables and voice.toml: see `voice settings`.\n\n"
    "Exit codes: 0 success; 1 part of the work failed, such as a batch; 2 invalid settings or input, or an error such "
    "as a full disk; 70 a bug, with the path of a file with the traceback; 130 interrupted.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
)
store = typer.Typer(help="Check object stores, and copy data between them.", no_args_is_help=True)
for module in (plan, build, status, settings, failures, audit, publish, trace, forget, adopt, clean, demo):
    module.register(app)
for module in (store_check, store_copy):
    module.register(store)
spoken = typer.Typer(help="Synthesise dialogue scripts for Moshi fine-tuning.", no_args_is_help=True)
moshi.register(spoken)
app.add_typer(store, name="store")
app.add_typer(spoken, name="moshi")
books = typer.Typer(help="Turn books into validated, mastered audiobooks.", no_args_is_help=True)
audiobook.register(books)
app.add_typer(books, name="audiobook")
app.add_typer(pools, name="pools")


def main() -> None:
    """Run the command; an error ends in one message and exit code 2, a bug in 70."""
    install_signal_handlers()
    show_warnings()
    try:
        app()
    except Exception as error:  # noqa: BLE001 - bugs have their own exit code
        sys.exit(report_error(error))
    except Interrupted:
        errors.print("interrupted; finished work is kept. Run the same command again to resume.")
        sys.exit(INTERRUPTED_EXIT_CODE)
