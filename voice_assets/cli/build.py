"""`voice build`."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from voice_assets.cli.output import console, errors, show_progress, show_wait_messages
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
        typer.Option("--verify", help="Run every stage: read every file, mend what is missing or spoilt."),
    ] = False,
    incomplete: Annotated[
        bool,
        typer.Option("--incomplete", help="Assign the splits and write rows although batches are not cut."),
    ] = False,
) -> None:
    """Bring the dataset up to date with the recordings, the transcripts and the settings.

    Discovers new, changed and vanished recordings, then materialises through Dagster whatever is missing or stale,
    in this process. Run it again after a kill: it goes on where it was. A second run computes nothing and says so.

    A batch that fails costs itself alone, and with it the splits: which recordings are held out is decided over all
    batches at once, and for good. Until they are cut, rows and card stay as they are. `--partition` asks for the
    splits over what is cut, once the named batches are; `--incomplete` asks for it in any case.
    """
    settings = Settings.load()
    show_progress()
    show_wait_messages()
    if not run_build(settings, partition or [], verify, incomplete=incomplete):
        raise typer.Exit(1)


def run_build(settings: Settings, partitions: list[str], verify: bool = False, *, incomplete: bool = False) -> bool:
    """Build, say what was done, and whether all of it succeeded."""
    from voice_assets.build import build as build_dataset
    from voice_assets.instance import open_instance

    started = time.monotonic()
    report = build_dataset(settings, open_instance(), partitions=partitions, verify=verify, incomplete=incomplete)
    _print_report(report, settings, time.monotonic() - started)
    return not report.failures


def _print_report(report: "DatasetBuildReport", settings: Settings, wall_sec: float) -> None:
    from resources.corpus import load_configured_codec
    from voice_assets.build import COUNTERS

    for stray in report.discovery.listing.strays:
        errors.print("[yellow]not used:[/] ", end="")
        errors.print(f"{stray.key}: {stray.reason}", markup=False, highlight=False)
    for line in report.warnings:
        errors.print("[yellow]warning:[/] ", end="")
        errors.print(line, markup=False, highlight=False)
    for line in report.failures:
        errors.print("[bold red]failed:[/] ", end="")
        errors.print(line, markup=False, highlight=False)
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
        f"{f' ({rechecked:,} of them by the plain path too)' if rechecked else ''}; "
        f"{pluralize(report.materialised, 'materialisation')} in {wall_sec:.1f} s."
    )
    codec = load_configured_codec(settings)
    if codec is not None and codec.stand_in:
        console.print(
            f"[yellow]The codes are {codec.name}'s, a stand-in: for trying the pipeline, not for training.[/]"
        )
    folder = f"{settings.work_url}/{DatasetLayout(settings.dataset).root}"
    console.print(f"Dataset: {folder}", markup=False, highlight=False, soft_wrap=True)
