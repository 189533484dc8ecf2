"""Tables for the terminal."""

from rich.table import Table

from voice_core.corpus.status import PartitionStatus, State, Status
from voice_core.corpus.summary import Amount, Summary
from voice_core.settings import Settings

_COLOURS = {
    State.CURRENT: "green",
    State.STALE: "yellow",
    State.PARTIAL: "yellow",
    State.MISSING: "red",
    State.SKIPPED: "dim",
}


def ledger_table(summary: Summary) -> Table:
    """Where every second went; the last line is the sum of those above it."""
    table = Table(title="Where every second went", title_justify="left")
    table.add_column("stage")
    table.add_column("reason")
    for name in ("rows", "seconds", "share"):
        table.add_column(name, justify="right")
    total = summary.total.seconds or 1.0

    def add(stage: str, reason: str, amount: Amount) -> None:
        table.add_row(stage, reason, f"{amount.rows:,}", f"{amount.seconds:,.3f}", f"{amount.seconds / total:.1%}")

    add("[green]kept[/]", "", summary.kept)
    for step in summary.funnel:
        add(step.stage, step.reason, step)
    table.add_section()
    kept, rejected = summary.kept, summary.rejected
    add("[bold]sum[/]", "", Amount(kept.rows + rejected.rows, kept.samples + rejected.samples, kept.sample_rate_hz))
    add("[bold]recordings[/]", "", summary.total)
    return table


def status_table(status: Status, settings: Settings) -> Table:
    """Channels, their batches, and the state of each stage."""
    table = Table(title="Batches", title_justify="left")
    for name in ("channel", "batch"):
        table.add_column(name, no_wrap=True)
    for name in ("recordings", "hours", "kept"):
        table.add_column(name, justify="right")
    for name in ("raw", "segments", "codes", "rows", "pairs"):
        table.add_column(name)
    table.add_column("trouble")
    last = ""
    for item in status.partitions:
        channel = settings.display_name(item.partition.channel)
        table.add_row(
            channel if channel != last else "",
            f"batch-{item.partition.number:04d}{' sealed' if item.batch.sealed else ''}",
            str(len(item.batch.recordings)),
            f"{item.batch.hours:.2f}",
            _kept(item),
            *(f"[{_COLOURS[state]}]{state}[/]" for state in item.states.values()),
            _trouble(item),
        )
        last = channel
    table.caption = f"splits: {status.splits}, card: {status.card}"
    return table


def _kept(item: PartitionStatus) -> str:
    if item.manifest is None or not item.manifest.complete:
        return ""
    kept = item.manifest.kept()
    hours = sum(entry.sample_count for entry in kept) / item.manifest.sample_rate_hz / 3600
    return f"{len(kept):,} rows, {hours:.2f} h"


def _trouble(item: PartitionStatus) -> str:
    outcomes = item.manifest.recordings if item.manifest else ()
    counts: dict[str, int] = {}
    for outcome in outcomes:
        if outcome.troubled:
            counts[outcome.status] = counts.get(outcome.status, 0) + 1
    return ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in sorted(counts.items()))
