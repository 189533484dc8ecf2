"""`voice failures`."""

import dataclasses
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from voice_assets.cli.output import console, print_json


def register(app: typer.Typer) -> None:
    app.command("failures")(failures)


def failures(
    everything: Annotated[bool, typer.Option("--all", help="Also what was built since.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what failed in Dagster's runs and was not built since: what, where, why, and how to try again.

    The sensor record_failures writes it down while the Dagster daemon runs, in failures.jsonl under DAGSTER_HOME.
    """
    from voice_assets.failure_records import is_resolved, read_records
    from voice_assets.instance import find_home, find_instance

    instance = find_instance()
    rows = [
        (record, trouble, instance is not None and is_resolved(instance, record, trouble))
        for record in read_records(find_home())
        for trouble in record.troubles
    ]
    shown = [row for row in rows if everything or not row[2]]
    if as_json:
        value = [
            {"when": r.when, "run_id": r.run_id, "job": r.job, "host": r.host, "retry": r.retry, "resolved": done}
            | dataclasses.asdict(t)
            for r, t, done in shown
        ]
        print_json(value)
        return
    if not shown:
        console.print(f"Nothing that failed is left to build ({len(rows)} failures on record).")
        return
    table = Table(title="What failed", title_justify="left")
    for name in ("when", "where", "what", "why"):
        table.add_column(name, overflow="fold")
    for record, trouble, done in shown:
        where = f"{record.job} {record.run_id[:8]}" + (f" on {record.host}" if record.host else "")
        what = " ".join(filter(None, (trouble.asset, trouble.partition))) + (" (built since)" if done else "")
        table.add_row(record.when, escape(where), escape(what), escape(trouble.error))
    console.print(table)
    retries = dict.fromkeys(record.retry for record, _, done in shown if not done)
    console.print("Once the cause is gone:", *retries, sep="\n  ", markup=False, highlight=False, soft_wrap=True)
