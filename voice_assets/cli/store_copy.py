"""`voice store copy`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit
from urllib.request import url2pathname

import typer
from rich.markup import escape
from rich.table import Table

from voice_assets.cli.exit_codes import FAILED_EXIT_CODE
from voice_assets.cli.output import console, echo, errors, show_progress, take_first
from voice_core.language import pluralize
from voice_core.settings import Settings, as_url

if TYPE_CHECKING:
    from voice_core.storage.copy_plan import CopyPlan
    from voice_core.storage.copy_store import CopyReport
    from voice_core.storage.store import Store

_SHOWN_FAILURES = 20


def register(app: typer.Typer) -> None:
    app.command("copy")(copy)


def copy(
    source: Annotated[str, typer.Argument(metavar="SRC", help="A folder, or a file://, s3:// or gs:// URL.")],
    target: Annotated[str, typer.Argument(metavar="DST", help="The same; a missing local folder is created.")],
    include: Annotated[
        list[str] | None,
        typer.Option(help="Only keys that match this glob, such as 'news/*.npz'; * also matches slashes. Repeatable."),
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="No keys that match this glob. Repeatable.")] = None,
    delete: Annotated[
        bool,
        typer.Option("--delete", help="Also remove objects that SRC does not have. Skipped if a copy failed."),
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every object on both sides, and copy those that differ.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, one line per object.")] = False,
    jobs: Annotated[int, typer.Option(min=0, help="Number of objects at a time; 0: VOICE_REQUESTS_IN_FLIGHT.")] = 0,
    record: Annotated[
        bool,
        typer.Option(
            "--record/--no-record",
            help="Keep a record at DST/.voice-copy/, so that the next copy needs only listings. It can be deleted.",
        ),
    ] = True,
) -> None:
    """Copy all objects of SRC to DST, byte for byte.

    Identical objects are skipped; run the same command again to resume; every object is verified after it is written.
    Manifests and other commit records are copied last, so that DST can be used at any time. Objects that cannot be
    copied are listed at the end, with exit code 1; run the command again to copy them.

    Addresses and credentials are set by VOICE_S3__ENDPOINT_URL and so on: see `voice settings`.

    Examples: `voice store copy segments_cache s3://bucket/stage1`, `voice store copy s3://bucket/stage2 /data/stage2
    --jobs 16`, `voice store copy gs://recordings s3://mirror --include '*.mp3' --dry-run`.
    """
    from resources.stores import open_store
    from voice_core.storage import copy_store
    from voice_core.storage.copy_plan import CopyOptions, refuse_overlap
    from voice_core.storage.scratch import open_scratch

    settings = Settings.load()
    options = CopyOptions(
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        delete=delete,
        verify=verify,
        record=record,
        jobs=jobs or settings.requests_in_flight,
    )
    refuse_overlap(as_url(source), as_url(target))  # before a folder is created
    origin = open_store(as_url(source), settings)
    destination = (
        open_store(as_url(target), settings, create=True)
        if not dry_run
        else _open_dry_run_target(as_url(target), settings)
    )
    if dry_run:
        _show_plan(copy_store.plan_copy(origin, destination, options)[0])
        return
    show_progress()
    started = time.monotonic()
    scratch = open_scratch(settings.local_dir, settings.local_gb) if destination.local_root is None else None
    report = copy_store.copy(origin, destination, options, scratch)
    _print_report(report, destination.url, record, time.monotonic() - started)
    if report.failures:
        raise typer.Exit(FAILED_EXIT_CODE)


def _open_dry_run_target(url: str, settings: Settings) -> "Store":
    """The destination of a dry run: a folder that does not exist is not created, and counts as empty."""
    from resources.stores import open_store

    missing = url.startswith("file:") and not Path(url2pathname(urlsplit(url).path)).is_dir()
    return open_store("memory://" if missing else url, settings)


def _show_plan(plan: "CopyPlan") -> None:
    for step in plan.steps:
        echo(f"{step.action}\t{step.source.size}\t{step.key}")
    for key in plan.deletions:
        echo(f"delete\t\t{key}")
    for failure in plan.invalid_keys:
        echo(f"impossible\t\t{failure.key}\t{failure.reason}")
    counts = plan.counts()
    errors.print(
        f"{counts['new']:,} to copy, {counts['replace']:,} to replace, {counts['compare']:,} of the same size to "
        f"compare by content, {counts['same']:,} the same; {len(plan.deletions):,} to delete, "
        f"{len(plan.invalid_keys):,} impossible. Nothing was done."
    )


def _print_report(report: "CopyReport", target_url: str, record: bool, wall_sec: float) -> None:
    if report.failures:
        table = Table(title="Not copied", title_justify="left")
        table.add_column("key", overflow="fold")
        table.add_column("reason", overflow="fold")
        shown, more = take_first(report.failures, _SHOWN_FAILURES)
        for failure in shown:
            table.add_row(escape(failure.key), escape(failure.reason))
        if more:
            table.add_row(more, "")
        errors.print(table)
        errors.print("Run the same command again to copy these; copied objects are not copied again.")
    if report.deletions_skipped:
        kept = pluralize(report.deletions_skipped, "object")
        errors.print(f"{kept} not deleted, because some objects could not be copied.")
    if report.folder_markers:
        errors.print(f"{pluralize(report.folder_markers, 'empty folder marker')} skipped.")
    speed = f" at {report.copied_bytes / 1e6 / wall_sec:,.0f} MB/s" if report.copied and wall_sec else ""
    console.print(
        f"{report.copied:,} objects copied ({report.copied_bytes / 1e6:,.1f} MB){speed}, {report.identical:,} "
        f"identical, {report.deleted:,} deleted, {len(report.failures):,} failed; {report.bodies_read:,} read, "
        f"in {wall_sec:.1f} s.",
        highlight=False,
    )
    if record:
        from voice_core.storage.copy_record import COPY_RECORD_FOLDER

        console.print(
            f"The record of this copy is {target_url}/{COPY_RECORD_FOLDER} (--no-record omits it).",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
