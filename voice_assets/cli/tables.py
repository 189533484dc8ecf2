"""Tables for the terminal."""

from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from voice_core.corpus.dataset.summary import Amount, Summary, summarise
from voice_core.corpus.status import BuildStatus, PartitionStatus, StageState
from voice_core.language import pluralize
from voice_core.settings import Settings

_COLOURS = {
    StageState.CURRENT: "green",
    StageState.FREED: "cyan",
    StageState.STALE: "yellow",
    StageState.PARTIAL: "yellow",
    StageState.MISSING: "red",
    StageState.SKIPPED: "dim",
}


def accounting_table(summary: Summary) -> Table:
    """Duration kept and rejected, by reason; the last row is the sum of those above it."""
    table = Table(title="Audio accounting (kept and rejected, by reason)", title_justify="left")
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
    recordings = pluralize(summary.recording_count, "recording")
    table.add_row(f"[bold]in {recordings}[/]", "", "", f"{summary.total.seconds:,.3f}", "")
    return table


def status_tree(status: BuildStatus, settings: Settings) -> Tree:
    """Channels, their batches, and the stages of each that are not up to date."""
    reason = f" ({escape(status.card_reason)})" if status.card_reason else ""
    tree = Tree(
        f"[bold]{settings.dataset}[/]  splits {_format_state(status.splits)}, card {_format_state(status.card)}{reason}"
    )
    channels: dict[str, Tree] = {}
    for item in status.partitions:
        channel = item.partition.channel
        if channel not in channels:
            channels[channel] = tree.add(f"[bold]{escape(settings.display_name(channel))}[/]")
        batch = channels[channel].add(
            f"batch-{item.partition.number:04d} ({'sealed' if item.batch.sealed else 'open'}): "
            f"{pluralize(len(item.batch.recordings), 'recording')}, {item.batch.hours:.2f} h"
            f"{_format_kept(item, settings)}: "
            f"{_format_states(item)}"
        )
        for outcome in item.problem_recordings:
            batch.add(f"[yellow]{outcome.status}[/] {escape(outcome.audio_id)}: {escape(outcome.message)}")
    return tree


def _format_state(state: StageState) -> str:
    return f"[{_COLOURS[state]}]{state}[/]"


def _format_states(item: PartitionStatus) -> str:
    odd = {name: state for name, state in item.states.items() if state is not StageState.CURRENT}
    skipped = [name for name, state in odd.items() if state is StageState.SKIPPED]
    why = {name: f" ({escape(reason)})" for name, reason in item.reasons.items()}
    open_ends = [
        f"{name} {_format_state(state)}{why.get(name, '')}"
        for name, state in odd.items()
        if state is not StageState.SKIPPED
    ]
    return ", ".join(open_ends) or _format_state(StageState.CURRENT) + (
        f" (without {', '.join(skipped)})" if skipped else ""
    )


def _format_kept(item: PartitionStatus, settings: Settings) -> str:
    if item.latest_complete is None:
        return ""
    kept = summarise([item.latest_complete], settings).kept
    return f", {pluralize(kept.rows, 'segment')} kept ({kept.hours:.2f} h)"
