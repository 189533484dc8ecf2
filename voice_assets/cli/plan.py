"""`voice plan`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from voice_assets.cli.output import console, print_json, show_progress
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
        typer.Option("--encode-speed", min=0.001, help="Count with this, times real time, not with what was measured."),
    ] = None,
    cut_speed: Annotated[
        float | None, typer.Option("--cut-speed", min=0.001, help="The same for decoding and cutting.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: every batch, sizes in bytes.")] = False,
) -> None:
    """Say what `voice build` would do, and what it would cost, before it does it. Writes nothing, decodes nothing.

    Per batch: recordings to decode, segments to cut and to encode, rows to write, what is read and written, and by how
    much the work root grows. Run it before a backfill, after a change of settings, or with another codec
    (`VOICE_CODEC=… voice plan`) to see what that would cost.

    A plain number is certain: it was counted in manifests and transcripts. **≈** marks an estimate: what the rules
    keep of audio that nobody has decoded yet, and what it takes in storage. What estimates rest on stands below the
    table.

    Minutes come from runs of this Dagster instance: the median of what Dagster recorded for this codec and revision, by
    machine. Where nothing was measured, no minutes are given: run one batch (`voice build -p …`), or say
    `--encode-speed 40` for 40 seconds of audio a second.
    """
    from resources.corpus import load_configured_codec
    from voice_assets.build import preview_build
    from voice_assets.eta import estimate_stage_times

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
    """Where speeds were recorded; a plan can do without."""
    from voice_assets.instance import find_instance

    try:
        return find_instance()
    except ConfigurationError:
        return None


def plan_to_dict(found: BuildPlan, times: Sequence["StageEta"]) -> dict[str, Any]:
    """The plan for programs: every figure as its value and whether it is exact."""
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
        console.print(f"not used: {stray.key}: {stray.reason}", markup=False, highlight=False, soft_wrap=True)
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
    whole = [name for name, there in (("the splits are dealt anew", found.splits), ("the card", found.card)) if there]
    if whole:
        console.print(f"Over all batches: {', '.join(whole)}.")
    _print_rebuilt_files(found)
    console.print("≈ is an estimate: " + "; ".join(found.basis) + ".", markup=False, highlight=False)


def _table(found: BuildPlan) -> Table:
    table = Table(title="What a build would do", title_justify="left")
    table.add_column("batch")
    for name in ("recordings", "new", "decode", "hours", "cut", "encode", "hours", "rows", "GB stored"):
        table.add_column(name, justify="right")

    def add(name: str, recordings: int, new: int, parts: Sequence[Quantity]) -> None:
        decode, decoded, cut, encode, encoded, rows, stored = parts
        table.add_row(
            name,
            f"{recordings:,}",
            f"{new:,}",
            decode.format(),
            decoded.format(2),
            cut.format(),
            encode.format(),
            encoded.format(2),
            rows.format(),
            stored.format(3, 1e9),
        )

    def figures(item: PartitionPlan) -> list[Quantity]:
        decode, encode = item.decode, item.encode
        return [decode.items, decode.hours, item.cut, encode.items, encode.hours, item.rows.items, item.work.stored]

    for item in found.partitions[:_SHOWN]:
        add(escape(str(item.partition)), item.recordings, item.new, figures(item))
    if len(found.partitions) > _SHOWN:
        table.add_row(f"… and {len(found.partitions) - _SHOWN:,} more")
    table.add_section()
    sums = [sum(column, Quantity()) for column in zip(*map(figures, found.partitions), strict=True)]
    add("[bold]in all[/]", sum(p.recordings for p in found.partitions), found.new, sums)
    return table


def _bytes_table(found: BuildPlan) -> Table:
    table = Table(title="Gigabytes moved and stored", title_justify="left")
    table.add_column("stage")
    for name in ("read from the raw bucket", "read", "written", "stored in the end"):
        table.add_column(name, justify="right")
    for name, work in (*found.stages.items(), ("[bold]in all[/]", found.work)):
        cells = [getattr(work, part).format(3, 1e9) for part in _BYTES]
        if work != StageWork():
            table.add_row(name, *cells, end_section=name == "freed files made again")
    return table


def _time_table(times: Sequence["StageEta"]) -> Table:
    from voice_assets.eta import sum_minutes

    table = Table(title="Time, from measured speeds", title_justify="left")
    table.add_column("stage")
    for name in ("hours of audio", "minutes", "× real time"):
        table.add_column(name, justify="right")
    table.add_column("measured")
    for item in times:
        hours = item.audio_sec.scaled(1 / 3600).format(2)
        if not item.audio_sec.value:
            continue
        if not item.speeds:
            table.add_row(item.stage, hours, "", "", f"[yellow]{escape(item.note)}[/]")
        for place, speed in enumerate(item.speeds):
            name = f"{'  there instead' if place else item.stage} ({item.unit_of(speed)})"
            minutes = _minutes(speed.minutes(item.audio_sec))
            table.add_row(name, hours, minutes, f"{speed.times_real_time:,.1f}", _describe_measurement(speed))
    whole = sum_minutes(times)
    if whole is not None and whole.value:
        table.add_section()
        table.add_row("[bold]in all[/], one after another", "", _minutes(whole))
    return table


def _minutes(figure: Quantity) -> str:
    return figure.format(1 if figure.value >= 10 else 2)


def _describe_measurement(speed: Any) -> str:
    if not speed.measurements:
        return "as given"
    place = " ".join(filter(None, (speed.host, speed.device)))
    return escape(f"in {speed.measurements} runs" + (f" on {place}" if place else ""))


def _print_rebuilt_files(found: BuildPlan) -> None:
    files = found.stages["freed files made again"].items
    if not files.value:
        return
    decoded = sum((item.restored_decode.items for item in found.partitions), Quantity())
    encoded = sum((item.restored_encode.items for item in found.partitions), Quantity())
    console.print(
        f"{files} freed files are needed and made again: {decoded} recordings are decoded and {encoded} segments "
        "encoded once more for that (not counted above; their time is), the others are copied back."
    )
