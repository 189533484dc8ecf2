"""`voice trace`."""

import dataclasses
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.tree import Tree

from voice_assets.cli.exit_codes import FAILED_EXIT_CODE
from voice_assets.cli.output import Console, console, print_json, show_progress
from voice_core.corpus.labels import label_values
from voice_core.corpus.lineage.trace_types import CommittedFile, RawObject, RowLocation, Trace, VerifiedObject
from voice_core.settings import Settings

_COLOURS = {"same": "green", "freed": "cyan", "unknown": "dim"}


def register(app: typer.Typer) -> None:
    app.command("trace")(trace)


def trace(
    row: Annotated[
        str,
        typer.Argument(
            metavar="ROW",
            help="`__key__` of a row, such as my-channel/news_seg_7; or AUDIO_ID; or a segment's SHA-256.",
        ),
    ],
    index: Annotated[
        int | None, typer.Argument(metavar="INDEX", help="Number of the line, if ROW is an AUDIO_ID.", min=0)
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every object again and compare hashes; exit code 1 if one differs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the source of a row, or why a line of a transcript is not in the dataset.

    Covers the raw object, the transcript, the cut, the rules' thresholds, the codec, the Parquet files, the pairs and
    the published revision. For a rejected line it shows stage, reason, value and threshold.
    """
    from resources.corpus import open_raw, open_work_read_only
    from voice_core.corpus.lineage.tracer import trace_row as trace_row
    from voice_core.corpus.lineage.tracer import verify_trace

    settings = Settings.load()
    show_progress()
    work = open_work_read_only(settings)
    found = trace_row(work, settings, row if index is None else f"{row} {index}")
    checks = verify_trace(found, open_raw(settings), work) if verify else []
    if as_json:
        value = dataclasses.asdict(found) | ({"verified": [dataclasses.asdict(c) for c in checks]} if verify else {})
        labels = label_values(found.line)  # after the other fields of the line
        value["line"] = {name: item for name, item in value["line"].items() if name not in labels} | labels
        print_json(value)
    else:
        wide = console if console.is_terminal else Console(width=1000)  # a pipe has no width at which to fold hashes
        wide.print(tree(found, checks), highlight=False)
    if any(check.state in ("another", "missing") for check in checks):
        raise typer.Exit(FAILED_EXIT_CODE)


def tree(found: Trace, checks: Iterable[VerifiedObject] = ()) -> Tree:
    """The whole trace, from the recording to the hub."""
    root = Tree(f"[bold]{escape(found.name)}[/]  {_verdict(found)}")
    recording = root.add(f"recording [bold]{escape(found.audio_id)}[/] of {escape(found.channel)}, {found.partition}")
    if found.status not in ("", "ok"):
        recording.add(f"[yellow]{found.status}[/]: {escape(found.status_message)}")
    if found.adopted_from:
        recording.add(f"adopted from {escape(found.adopted_from)}: its recording is unknown")
    _add_source(recording, "audio", found.audio)
    _add_source(recording, "transcript", found.transcript)
    line = root.add(f"line {found.line.index}: {escape(found.line.text) or 'its text is unknown'}")
    line.add(f"transcribed from {_number(found.line.start_sec)} to {_number(found.line.end_sec)} s")
    line.add(_pairs({name: value for name, value in label_values(found.line).items() if value}) or "no labels")
    if found.cut is not None:
        cut = found.cut
        line.add(
            f"cut from {cut.start_sec:.6f} to {cut.stop_sec:.6f} s: samples {cut.start:,} to {cut.stop:,} "
            f"at {cut.sample_rate_hz:,} Hz"
        )
    how = root.add("made by")
    how.add("code: " + (_pairs(found.code_versions) or "unknown"))
    how.add("cutting: " + (_pairs(found.settings) or "unknown"))
    if found.cut is not None:
        rules = how.add("rules")
        for item in found.measures:
            sign = "≥" if item.bound == "min" else "≤"
            colour = "green" if item.passes else "red"
            rules.add(f"[{colour}]{item.measure} {_number(item.value)}[/] {sign} {_number(item.threshold)}")
    files = root.add("files")
    _add_file(files, "segment", found.segment)
    codec = _pairs(found.codec)
    _add_file(files, f"coded ({codec})" if codec else "coded", found.coded)
    _add_rows(root, found)
    verified = root.add("verified just now") if checks else None
    for check in checks:
        colour = _COLOURS.get(check.state, "red")
        message = f": {escape(check.message)}" if check.message else ""
        assert verified is not None
        verified.add(f"[{colour}]{check.state}[/] {check.what} {escape(check.key)}{message}")
    return root


def _verdict(found: Trace) -> str:
    rejected = found.rejected
    if rejected is None:
        return f"[green]in {escape(found.dataset)}, {found.split}[/]" if found.split else "[green]kept[/]"
    measured = ""
    if rejected.value is not None:
        measured = f": {_number(rejected.value)}, the threshold is {_number(rejected.threshold)}"
    message = f" ({escape(rejected.message)})" if rejected.message else ""
    return f"[red]rejected[/] at {rejected.stage}, {rejected.reason}{measured}{message}"


def _add_source(parent: Tree, what: str, source: RawObject) -> None:
    if not source.key:
        parent.add(f"{what}: unknown")
        return
    node = parent.add(f"{what} {escape(source.key)}")
    size = f"{source.size_bytes:,} bytes" if source.size_bytes is not None else "size unknown"
    node.add(f"{size}, etag {source.etag or 'unknown'}, generation {source.version or 'unknown'}")
    node.add(f"sha256 {source.sha256 or 'unknown'}")


def _add_file(parent: Tree, what: str, place: CommittedFile | None) -> None:
    if place is None:
        parent.add(f"{what}: none")
        return
    parent.add(f"{what}: {escape(place.key)}{_freed(place)}").add(f"sha256 {place.sha256}")


def _add_rows(root: Tree, found: Trace) -> None:
    if not found.split:
        return
    dataset = root.add(f"dataset {escape(found.dataset)}, {found.split}: {escape(found.split_reason)}")
    for place in found.rows:
        if not place.partner:
            dataset.add(f"{place.config}: {escape(place.file.key)}, {_row(place)}{_freed(place.file)}")
    pairs = [place for place in found.rows if place.partner]
    node = dataset.add(f"in {len(pairs)} pairs")
    for place in pairs:
        node.add(f"{place.role}, paired with {escape(place.partner)}: {escape(place.file.key)}, {_row(place)}")
    for item in found.published:
        same = "with these files" if item.same else "[yellow]with other files[/]"
        dataset.add(f"published at {escape(item.url)}, {escape(item.branch)}, revision {item.revision}, {same}")
    if not found.published:
        dataset.add("not published")


def _row(place: RowLocation) -> str:
    return "row unknown" if place.row is None else f"row group {place.row_group}, row {place.row}"


def _freed(place: CommittedFile) -> str:
    return " [cyan](freed)[/]" if place.freed else ""


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {escape(str(value))}" for name, value in values.items())


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.5f}".rstrip("0").rstrip(".")
