"""`voice adopt`."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from voice_assets.cli.exit_codes import FAILED_EXIT_CODE
from voice_assets.cli.output import console, errors, print_first, print_warning_line, show_progress
from voice_core.language import pluralize
from voice_core.settings import Settings, as_url

if TYPE_CHECKING:
    from voice_core.corpus.adopt.batch import AdoptReport

_SHOWN_STRAYS = 20


def register(app: typer.Typer) -> None:
    app.command("adopt")(adopt)


def adopt(
    source: Annotated[
        str, typer.Argument(metavar="URL", help="Folder of segment files: a path, or a file://, s3:// or gs:// URL.")
    ],
    channel: Annotated[
        str, typer.Option(help="Channel of all files; by default, the folder of each file is its channel.")
    ] = "",
    codec: Annotated[
        str,
        typer.Option(help="Codec of the codes in the files, such as melvq. By default, segments are encoded again."),
    ] = "",
    revision: Annotated[str, typer.Option(help="Revision of the codec; required with --codec.")] = "",
    int16: Annotated[
        bool,
        typer.Option("--int16", help="Store every file uncompressed with 16-bit audio, even if that rounds floats."),
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also adopt recordings that were adopted from another URL before.")
    ] = False,
) -> None:
    """Import a folder of segment files that another program has cut, one `.npz` per segment.

    File names are `<channel>/<audio_id>_seg_<number>.npz`; each file has the nine fields audio, codes, text,
    speaker_id, gender, dialect, tone, duration_sec and audio_id. They get separate batches, with manifests;
    nothing is cut or encoded. `voice build` then makes missing codes, the rows and the card.

    An invalid file is rejected with a reason, which is in the manifest. Run the command again after a kill, or after
    files were added or repaired: files that were adopted are not read again.
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
        print_warning_line(f"the codec is {codec} {revision}, but VOICE_CODEC is {name}", "codes are not used:")
    report = take_in(open_store(as_url(source), settings, untrusted=True), open_work(settings), settings, options)
    _print_report(report)
    if not report.segment_files:
        raise LookupError(
            f"no segment files found in {source}: no key has the form <channel>/<audio_id>_seg_<number>.npz"
        )
    if not report.adopted:
        errors.print("No segment was adopted: every file was rejected or left out.")
        raise typer.Exit(FAILED_EXIT_CODE)


def _print_report(report: "AdoptReport") -> None:
    strays = [f"{stray.key}: {stray.reason}" for stray in report.strays]
    print_first(strays, _SHOWN_STRAYS, "not a segment file:", noun="object")
    for reason, files in report.left_out.items():
        print_warning_line(f"{pluralize(files, 'file')}: {reason}", "left out:")
    if not report.segment_files:
        return
    if not report.files_read:
        console.print(
            f"Nothing to do: {pluralize(report.adopted, 'segment')} of "
            f"{pluralize(report.recordings, 'recording')} adopted before. No file was read, in {report.wall_sec:.1f} s."
        )
        return
    table = Table(title="Objects by result", title_justify="left")
    table.add_column("")
    table.add_column("objects", justify="right")
    table.add_row("[green]adopted[/]", f"{report.adopted:,}")
    for (stage, reason), files in report.rejected.most_common():
        table.add_row(f"rejected: {stage}, {reason}", f"{files:,}")
    table.add_row("left out", f"{sum(report.left_out.values()):,}")
    table.add_row("not a segment file", f"{len(report.strays):,}")
    table.add_section()
    table.add_row("[bold]sum[/]", f"{report.objects:,}")
    console.print(table)
    console.print(
        f"{pluralize(report.files_read, 'file')} read, {report.files_written:,} stored, "
        f"{pluralize(report.recordings, 'recording')} in {pluralize(len(report.partitions), 'batch')}, "
        f"in {report.wall_sec:.1f} s. Run `voice build` next."
    )
