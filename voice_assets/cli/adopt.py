"""`voice adopt`."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from voice_assets.cli.output import console, errors, show_progress
from voice_core.language import pluralize
from voice_core.settings import Settings, as_url

if TYPE_CHECKING:
    from voice_core.corpus.adopt.batch import AdoptReport

_SHOWN_STRAYS = 20


def register(app: typer.Typer) -> None:
    app.command("adopt")(adopt)


def adopt(
    source: Annotated[
        str, typer.Argument(metavar="URL", help="The folder of segment files: a path, or file://, s3://, gs://.")
    ],
    channel: Annotated[
        str, typer.Option(help="Channel of all the files; else the folder that each lies in is its channel.")
    ] = "",
    codec: Annotated[
        str,
        typer.Option(help="What made the codes in the files, such as melvq. Without it, they are encoded anew."),
    ] = "",
    revision: Annotated[str, typer.Option(help="The codec's revision; needed with --codec.")] = "",
    int16: Annotated[
        bool,
        typer.Option("--int16", help="Store every file uncompressed with 16-bit audio, also where that rounds floats."),
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also take recordings that were adopted from another URL before.")
    ] = False,
) -> None:
    """Take in a folder of segment files that another program cut, one `.npz` a segment.

    The files are called `<channel>/<audio_id>_seg_<number>.npz` and hold the nine fields audio, codes, text,
    speaker_id, gender, dialect, tone, duration_sec and audio_id. They go into batches of their own, with manifests;
    nothing is cut or encoded. `voice build` then makes the codes that are missing, the rows and the card.

    A file that is not what it says is rejected with a reason, which the manifest keeps. Run it again after a kill, or
    when files were added or mended: what is done is not done again.
    """
    from resources.corpus import load_configured_codec, open_work
    from resources.stores import open_store
    from voice_core.corpus.adopt.adopt import AdoptOptions
    from voice_core.corpus.adopt.adopt import adopt as take_in

    settings = Settings.load()
    show_progress()
    options = AdoptOptions(channel, codec, revision, "int16" if int16 else "lossless", replace)
    here = load_configured_codec(settings)
    if codec and (here is None or (here.name, here.revision) != (codec, revision)):
        name = f"{here.name} {here.revision}" if here else "none"
        errors.print(
            f"[yellow]the codes are not used:[/] they are {escape(codec)} {escape(revision)}, VOICE_CODEC is {name}",
            highlight=False,
        )
    report = take_in(open_store(as_url(source), settings, untrusted=True), open_work(settings), settings, options)
    _print_report(report)
    if not report.segment_files:
        raise LookupError(
            f"there are no segment files in {source}: they are called <channel>/<audio_id>_seg_<number>.npz"
        )
    if not report.adopted:
        errors.print("No segment was adopted: every file was rejected or left out.")
        raise typer.Exit(1)


def _print_report(report: "AdoptReport") -> None:
    for stray in report.strays[:_SHOWN_STRAYS]:
        errors.print(f"[yellow]no segment file:[/] {escape(stray.key)}: {escape(stray.reason)}", highlight=False)
    if len(report.strays) > _SHOWN_STRAYS:
        errors.print(f"[yellow]no segment file:[/] {len(report.strays) - _SHOWN_STRAYS:,} more objects")
    for reason, files in report.left_out.items():
        errors.print(f"[yellow]left out:[/] {pluralize(files, 'file')}: {escape(reason)}", highlight=False)
    if not report.segment_files:
        return
    if not report.files_read:
        console.print(
            f"Nothing to do: {pluralize(report.adopted, 'segment')} of "
            f"{pluralize(report.recordings, 'recording')} adopted before. No file was read, in {report.wall_sec:.1f} s."
        )
        return
    table = Table(title="What became of the objects", title_justify="left")
    table.add_column("")
    table.add_column("objects", justify="right")
    table.add_row("[green]adopted[/]", f"{report.adopted:,}")
    for (stage, reason), files in report.rejected.most_common():
        table.add_row(f"rejected: {stage}, {reason}", f"{files:,}")
    table.add_row("left out", f"{sum(report.left_out.values()):,}")
    table.add_row("no segment file", f"{len(report.strays):,}")
    table.add_section()
    table.add_row("[bold]sum[/]", f"{report.objects:,}")
    console.print(table)
    console.print(
        f"{pluralize(report.files_read, 'file')} read, {report.files_written:,} stored, "
        f"{pluralize(report.recordings, 'recording')} in {pluralize(len(report.partitions), 'batch')}, "
        f"in {report.wall_sec:.1f} s. `voice build` goes on from here."
    )
