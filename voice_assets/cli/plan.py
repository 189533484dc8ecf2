"""`voice plan`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from voice_assets.cli.output import console, print_json, print_line, show_progress, take_first
from voice_core.corpus.plan.build_plan import BuildPlan, PartitionPlan, StageWork
from voice_core.corpus.plan.estimates import Quantity
from voice_core.language import pluralize
from voice_core.settings import ConfigurationError, Settings

if TYPE_CHECKING:
    import dagster as dg

    from voice_assets.eta import StageEta

_SHOWN = 40  # batches in the table; `--json` has them all
_PARTS = ("decode", "encode", "rows", "pairs", "restored", "restored_decode", "restored_encode")
_BYTES = ("raw_read", "work_read", "work_written", "stored")


def register(app: typer.Typer) -> None:
    app.command("plan")(plan)


def plan(
    partition: Annotated[
        list[str] | None, typer.Option("--partition", "-p", help="Only this batch, such as my-channel/batch-0001.")
    ] = None,
    encode_speed: Annotated[
        float | None,
        typer.Option("--encode-speed", min=0.001, help="Encoding speed, × real time, instead of the measured one."),
    ] = None,
    cut_speed: Annotated[
        float | None, typer.Option("--cut-speed", min=0.001, help="Speed of decoding and cutting, likewise.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every batch and sizes in bytes.")] = False,
) -> None:
    """Show what `voice build` would do and what it would cost. Writes nothing, decodes nothing.

    For each batch: recordings to decode, segments to cut and to encode, rows to write, bytes read and written, and the
    growth of the work root. Run it before a backfill, after a change of settings, or with another codec
    (`VOICE_CODEC=… voice plan`).

    A plain number is exact: it is counted in manifests and transcripts. **≈** marks an estimate: how much of audio that
    is not decoded yet the rules keep, and its storage size. The basis of the estimates is shown below the tables.

    Minutes are based on the run history of this Dagster instance: the median speed for this codec and revision, per
    machine. Without measurements, no minutes are shown: run one batch (`voice build -p …`), or give a speed, such as
    `--encode-speed 40` for 40 seconds of audio per second.
    """
    from voice_assets.build import preview_build
    from voice_assets.eta import estimate_stage_times
    from voice_core.codecs import load_configured_codec

    settings = Settings.load()
    show_progress()
    found = preview_build(settings, partition or [])
    times = estimate_stage_times(
        found, load_configured_codec(settings), settings, _instance(), cut_speed=cut_speed, encode_speed=encode_speed
    )
    if as_json:
        print_json(plan_to_dict(found, times))
        return
    _print_report(found, times)


def _instance() -> "dg.DagsterInstance | None":
    """The instance whose run history has the speeds; None without one."""
    from voice_assets.instance import find_instance

    try:
        return find_instance()
    except ConfigurationError:
        return None


def plan_to_dict(found: BuildPlan, times: Sequence["StageEta"]) -> dict[str, Any]:
    """The plan as JSON values: every figure as its value and whether it is exact."""
    total = {name: _stage(work) for name, work in found.stages.items()}
    return {
        "empty": found.empty,
        "batches": found.batches,
        "recordings": found.recordings,
        "new_recordings": found.new,
        "splits": found.splits,
        "card": found.card,
        "total": {"cut": _figure(found.cut), "batches_with_rows_written": found.rows_written, **total},
        "partitions": [_partition(item) for item in found.partitions],
        "time": [
            {
                "stage": item.stage,
                "unit": item.unit,
                "audio_sec": _figure(item.audio_sec),
                "minutes": None if item.minutes is None else _figure(item.minutes),
                "speeds": [
                    {
                        "times_real_time": speed.times_real_time,
                        "measurements": speed.measurements,
                        "host": speed.host,
                        "device": speed.device,
                        "unit": item.unit_of(speed),
                        "minutes": _figure(speed.minutes(item.audio_sec)),
                    }
                    for speed in item.speeds
                ],
            }
            for item in times
        ],
        "estimates_rest_on": list(found.basis),
        "not_used": {stray.key: stray.reason for stray in found.strays},
    }


def _partition(item: PartitionPlan) -> dict[str, Any]:
    return {
        "partition": str(item.partition),
        "recordings": item.recordings,
        "new_recordings": item.new,
        "cut": _figure(item.cut),
        "rows_written": item.rows_written,
        "pairs_written": item.pairs_written,
        **{name: _stage(getattr(item, name)) for name in _PARTS},
    }


def _stage(work: StageWork) -> dict[str, Any]:
    return {name: _figure(getattr(work, name)) for name in ("items", "audio_sec", *_BYTES)}


def _figure(figure: Quantity) -> dict[str, Any]:
    return {"value": round(figure.value, 3), "exact": figure.exact or not figure.value}


def _print_report(found: BuildPlan, times: Sequence["StageEta"]) -> None:
    for stray in found.strays:
        print_line(f"not used: {stray.key}: {stray.reason}")
    if found.empty:
        recordings, batches = pluralize(found.recordings, "recording"), pluralize(found.batches, "batch")
        console.print(
            f"Nothing to do: {recordings} in {batches}, all up to date. "
            "0 recordings to decode, 0 segments to cut, 0 to encode."
        )
        return
    if found.partitions:
        console.print(_table(found))
        console.print(_bytes_table(found))
        console.print(_time_table(times))
    whole = [name for name, there in (("assign the splits", found.splits), ("write the card", found.card)) if there]
    if whole:
        console.print(f"Over all batches: {', '.join(whole)}.")
    _print_rebuilt_files(found)
    console.print("≈ is an estimate: " + "; ".join(found.basis) + ".", markup=False, highlight=False)


def _table(found: BuildPlan) -> Table:
    """One row per batch, in 80 columns. The hours of audio to encode are in the table of the times."""
    table = Table(title="Planned work", title_justify="left", box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column("batch", overflow="fold", min_width=16)
    for name in ("files", "new", "decode", "hours", "cut", "encode", "rows", "GB"):
        table.add_column(name, justify="right", no_wrap=True)

    def add(name: str, recordings: int, new: int, parts: Sequence[Quantity]) -> None:
        decode, decoded, cut, encode, rows, stored = parts
        table.add_row(
            name,
            f"{recordings:,}",
            f"{new:,}",
            decode.format(),
            decoded.format(2),
            cut.format(),
            encode.format(),
            rows.format(),
            stored.format(3, 1e9),
        )

    def figures(item: PartitionPlan) -> list[Quantity]:
        decode, encode = item.decode, item.encode
        return [decode.items, decode.hours, item.cut, encode.items, item.rows.items, item.work.stored]

    shown, more = take_first(found.partitions, _SHOWN)
    for item in shown:
        add(escape(str(item.partition)), item.recordings, item.new, figures(item))
    if more:
        table.add_row(more)
    table.add_section()
    sums = [sum(column, Quantity()) for column in zip(*map(figures, found.partitions), strict=True)]
    add("[bold]total[/]", sum(p.recordings for p in found.partitions), found.new, sums)
    return table


def _bytes_table(found: BuildPlan) -> Table:
    table = Table(title="Data volume (GB)", title_justify="left")
    table.add_column("stage")
    for name in ("read (raw)", "read (work)", "written", "added"):
        table.add_column(name, justify="right")
    for name, work in (*found.stages.items(), ("[bold]total[/]", found.work)):
        cells = [getattr(work, part).format(3, 1e9) for part in _BYTES]
        if work != StageWork():
            table.add_row(name, *cells, end_section=name == "freed files rebuilt")
    return table


def _time_table(times: Sequence["StageEta"]) -> Table:
    from voice_assets.eta import sum_minutes

    table = Table(title="Estimated time", title_justify="left")
    table.add_column("stage")
    for name in ("hours", "minutes", "× real time"):
        table.add_column(name, justify="right")
    table.add_column("based on")
    for item in times:
        hours = item.audio_sec.scaled(1 / 3600).format(2)
        if not item.audio_sec.value:
            continue
        if not item.speeds:
            table.add_row(item.stage, hours, "", "", f"[yellow]{escape(item.note)}[/]")
        for place, speed in enumerate(item.speeds):
            name = f"{'  or' if place else item.stage} ({item.unit_of(speed)})"
            minutes = _minutes(speed.minutes(item.audio_sec))
            table.add_row(name, hours, minutes, f"{speed.times_real_time:,.1f}", _describe_measurement(speed))
    whole = sum_minutes(times)
    if whole is not None and whole.value:
        table.add_section()
        table.add_row("[bold]total[/]", "", _minutes(whole))
    return table


def _minutes(figure: Quantity) -> str:
    return figure.format(1 if figure.value >= 10 else 2)


def _describe_measurement(speed: Any) -> str:
    if not speed.measurements:
        return "option"
    place = " ".join(filter(None, (speed.host, speed.device)))
    return escape(pluralize(speed.measurements, "run") + (f" on {place}" if place else ""))


def _print_rebuilt_files(found: BuildPlan) -> None:
    files = found.stages["freed files rebuilt"].items
    if not files.value:
        return
    decoded = sum((item.restored_decode.items for item in found.partitions), Quantity())
    encoded = sum((item.restored_encode.items for item in found.partitions), Quantity())
    console.print(
        f"{files} freed files are needed and rebuilt: {decoded} recordings are decoded and {encoded} segments "
        "encoded again (included in the time, not in the counts above); the others are copied back."
    )
