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
from voice_assets.cli.exit_codes import report_error
from voice_assets.cli.output import errors, show_warnings
from voice_assets.cli.pools import pools
from voice_assets.signals import INTERRUPTED_EXIT_CODE, Interrupted, install_signal_handlers

app = typer.Typer(
    name="voice",
    help="Recordings in, training data for speech models out.\n\n"
    "Settings come from VOICE_* environment variables and voice.toml: see `voice settings`.\n\n"
    "Exit codes: 0 success; 1 a part of the work failed, such as a batch; 2 wrong settings or input, or an error such "
    "as a full disk; 70 a fault of the program, with the file that has the traceback; 130 interrupted.",
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
    """Run the command; an error ends in one message and exit code 2, a fault of the program in 70."""
    install_signal_handlers()
    show_warnings()
    try:
        app()
    except Exception as error:  # noqa: BLE001 - a fault of the program has a code of its own
        sys.exit(report_error(error))
    except Interrupted:
        errors.print("interrupted; what was finished is kept, and the same command goes on from there")
        sys.exit(INTERRUPTED_EXIT_CODE)
