"""`voice build`."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from voice_assets.cli.exit_codes import FAILED_EXIT_CODE
from voice_assets.cli.output import (
    console,
    print_error_line,
    print_line,
    print_warning_line,
    show_progress,
    show_wait_messages,
)
from voice_assets.cli.tables import accounting_table
from voice_core.language import pluralize
from voice_core.layout import DatasetLayout
from voice_core.settings import Settings

if TYPE_CHECKING:
    from voice_assets.build import DatasetBuildReport


def register(app: typer.Typer) -> None:
    app.command("build")(build)


def build(
    partition: Annotated[
        list[str] | None, typer.Option("--partition", "-p", help="Only this batch, such as my-channel/batch-0001.")
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Run every stage: read every file, and repair missing and corrupt ones."),
    ] = False,
    incomplete: Annotated[
        bool,
        typer.Option("--incomplete", help="Assign the splits and write rows even if batches are not cut."),
    ] = False,
) -> None:
    """Bring the dataset up to date with the recordings, the transcripts and the settings.

    Discovers new, changed and removed recordings, then materialises through Dagster everything that is missing or
    stale, in this process. Run the same command again to resume. A second run has nothing to do.

    A batch that fails does not stop the others, but it delays the splits: the held-out recordings are chosen over all
    batches, once and for good. Until all batches are cut, rows and card are not updated. With `--partition`, the
    splits are assigned over the batches that are cut once the given ones are; with `--incomplete`, in any case.
    """
    settings = Settings.load()
    show_progress()
    show_wait_messages()
    if not run_build(settings, partition or [], verify, incomplete=incomplete):
        raise typer.Exit(FAILED_EXIT_CODE)


def run_build(settings: Settings, partitions: list[str], verify: bool = False, *, incomplete: bool = False) -> bool:
    """Build and print the result; returns whether everything succeeded."""
    from voice_assets.build import build as build_dataset
    from voice_assets.instance import open_instance

    started = time.monotonic()
    report = build_dataset(settings, open_instance(), partitions=partitions, verify=verify, incomplete=incomplete)
    _print_report(report, settings, time.monotonic() - started)
    return not report.failures


def _print_report(report: "DatasetBuildReport", settings: Settings, wall_sec: float) -> None:
    from voice_assets.build import COUNTERS
    from voice_core.codecs import load_configured_codec

    for stray in report.discovery.listing.strays:
        print_warning_line(f"{stray.key}: {stray.reason}", "not used:")
    for line in report.warnings:
        print_warning_line(line)
    for line in report.failures:
        print_error_line(line, "failed:")
    if report.materialised == 0:
        batches = report.discovery.batches
        recordings = pluralize(sum(len(batch.recordings) for batch in batches), "recording")
        console.print(
            f"Nothing to do: {recordings} in {pluralize(len(batches), 'batch')}, all up to date. "
            f"0 recordings decoded, 0 segments cut, 0 encoded, in {wall_sec:.1f} s."
        )
        return
    decoded, cut, encoded, rechecked = (int(report.figures.get(name, 0)) for name in COUNTERS)
    console.print(accounting_table(report.status.summary(settings)))
    console.print(
        f"{pluralize(decoded, 'recording')} decoded, {pluralize(cut, 'segment')} cut, {encoded:,} encoded"
        f"{f' ({rechecked:,} of them also without optimizations, as a check)' if rechecked else ''}; "
        f"{pluralize(report.materialised, 'materialisation')} in {wall_sec:.1f} s."
    )
    codec = load_configured_codec(settings)
    if codec is not None and codec.stand_in:
        console.print(
            f"[yellow]The codes are from {codec.name}, a stand-in codec to try the pipeline with, not for training.[/]"
        )
    folder = f"{settings.work_url}/{DatasetLayout(settings.dataset).root}"
    print_line(f"Dataset: {folder}")
