"""`voice failures`."""

import dataclasses
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from voice_assets.cli.output import console, print_json, print_line
from voice_core.language import pluralize
from voice_core.settings import Settings


def register(app: typer.Typer) -> None:
    app.command("failures")(failures)


def failures(
    everything: Annotated[bool, typer.Option("--all", help="Include what was built since.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what failed in Dagster's runs and was not built since: asset, batch, error, and how to retry.

    Reads Dagster's run history, so it covers runs of the daemon, of the UI and of `voice build`.
    """
    from voice_assets.failures import is_resolved, read_failed_runs
    from voice_assets.instance import find_instance

    instance = find_instance()
    rows = []
    if instance is not None:
        runs = read_failed_runs(instance, Settings.load())
        rows = [(run, failure, is_resolved(instance, run, failure)) for run in runs for failure in run.failures]
    shown = [row for row in rows if everything or not row[2]]
    if as_json:
        value = [
            {"when": r.when, "run_id": r.run_id, "job": r.job, "host": r.host, "retry": r.retry, "resolved": done}
            | dataclasses.asdict(failure)
            for r, failure, done in shown
        ]
        print_json(value)
        return
    if not shown:
        console.print(f"No unresolved failures ({pluralize(len(rows), 'failure')} in the run history).")
        return
    table = Table(title="Failures", title_justify="left")
    for name in ("time (UTC)", "run", "asset", "error"):
        table.add_column(name, overflow="fold")
    for run, failure, done in shown:
        where = f"{run.job} {run.run_id[:8]}" + (f" on {run.host}" if run.host else "")
        what = " ".join(filter(None, (failure.asset, failure.partition))) + (" (resolved)" if done else "")
        table.add_row(run.when.removesuffix("+00:00"), escape(where), escape(what), escape(failure.error))
    console.print(table)
    retries = dict.fromkeys(run.retry for run, _, done in shown if not done)
    if retries:
        print_line("\n  ".join(["To retry, once the cause is fixed:", *retries]))
