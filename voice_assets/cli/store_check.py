"""`voice store check`."""

from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from voice_assets.cli.exit_codes import FAILED_EXIT_CODE
from voice_assets.cli.output import console, print_error_line, print_json, show_progress
from voice_core.settings import Settings, as_url

if TYPE_CHECKING:
    from rich.table import Table

    from voice_core.storage.check import CheckStep, StoreCheck
    from voice_core.storage.store import Store

_COLOURS = {"ok": "green", "failed": "bold red", "skipped": "dim"}


def register(app: typer.Typer) -> None:
    app.command("check")(check)


def check(
    urls: Annotated[
        list[str] | None,
        typer.Argument(metavar="[URL]...", help="file://, s3:// or gs:// URLs; by default the raw and the work URL."),
    ] = None,
    write: Annotated[
        bool,
        typer.Option("--write", help="Also test writing, on every URL given; without URLs on the work URL alone."),
    ] = False,
    speed: Annotated[bool, typer.Option("--speed/--no-speed", help="Measure objects and bytes per second.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check stores: connection, listing, reading, writing, conditional writes, deletion, speed, clock.

    Each step is ok, failed or skipped, with the problem and what to do about it. Nothing is written, and writing is not
    tested, unless --write is given: then objects below `.voice-check-…/` are written and removed again. The exit code
    is 1 if a step failed.

    Addresses and credentials of s3:// and gs:// are set by `VOICE_S3__*` and `VOICE_GCS__*`: see `voice settings`.
    """
    from resources.stores import open_store
    from voice_core.storage.check import check_store as check_store

    settings = Settings.load()
    show_progress()
    checks = []
    for url in urls or [settings.raw_url, settings.work_url]:
        full = as_url(url)
        work = full == settings.work_url
        writes = write and (work or bool(urls))

        def opened(url: str, create: bool = writes) -> "Store":
            return open_store(url, settings, create=create)

        checks.append(check_store(full, opened, write=writes, speed=speed, may_be_missing=work))
    if as_json:
        value = [{"url": item.url, "ok": item.ok, "steps": [asdict(step) for step in item.steps]} for item in checks]
        print_json(value)
    else:
        for item in checks:
            console.print(_table(item))
        if not write:
            console.print("Writing was not tested: add `--write` to test it.")
    failed = [item.url for item in checks if not item.ok]
    if failed:
        print_error_line(f"Not usable: {', '.join(failed)}")
        raise typer.Exit(FAILED_EXIT_CODE)


def _table(item: "StoreCheck") -> "Table":
    from rich.table import Table

    table = Table(title=escape(item.url), title_justify="left")
    table.add_column("step", max_width=16)
    table.add_column("result", no_wrap=True)
    table.add_column("found", overflow="fold")
    table.add_column("what to do", overflow="fold")
    # Steps that were skipped for the same reason share a row.
    for (_, state, found, cure), steps in groupby(item.steps, key=_row):
        names = ", ".join(step.name for step in steps)
        table.add_row(names, f"[{_COLOURS[state]}]{state}[/]", escape(found), escape(cure))
    return table


def _row(step: "CheckStep") -> tuple[str, str, str, str]:
    return ("" if step.state == "skipped" else step.name, step.state, step.found, step.cure)
