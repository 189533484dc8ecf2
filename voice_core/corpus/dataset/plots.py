"""Plots of a summary, as PNG. They contain no names of channels or people: matplotlib does not shape Arabic.

The stages of a partition mostly have the same plots, and so do the card and its metadata: each is drawn once.
"""

import io
from functools import lru_cache
from typing import TYPE_CHECKING

from voice_core.corpus.dataset.summary import Amount, DurationBin, RejectionTotal, Summary, format_duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

_WIDTH_IN, _HEIGHT_IN, _DPI = 7.0, 3.5, 100
_KEPT_COLOUR, _TEXT_COLOUR, _MUTED_COLOUR, _GRID_COLOUR = "#1f7a6d", "#1f2933", "#6b7785", "#e4e8ec"
_STAGE_COLOURS = {
    "recording": "#8c2f39",
    "transcript": "#c8553d",
    "decode": "#e09f3e",
    "rules": "#4f6d9a",
    "coded": "#7a5195",
    "dataset": "#9aa5b1",
}
_MAX_BARS = 11
_KEPT_PLOTS = 64  # of some 10 KB


def plot_durations(summary: Summary) -> bytes:
    """Histogram of the lengths of kept segments. Equal summaries give equal bytes."""
    return _draw_durations(summary.durations, summary.kept)


def plot_rejections(summary: Summary) -> bytes:
    """Bar chart of kept and rejected audio by reason, in shares. Equal summaries give equal bytes."""
    return _draw_rejections(summary.total, summary.kept, summary.funnel)


@lru_cache(_KEPT_PLOTS)
def _draw_durations(bins: tuple[DurationBin, ...], kept: Amount) -> bytes:
    figure, axes = _new_figure("Length of kept segments", left=0.09)
    if not bins:
        return _render_empty(figure, axes, "nothing was kept")
    axes.bar([item.start_sec + 0.5 for item in bins], [item.rows for item in bins], width=0.88, color=_KEPT_COLOUR)
    first, last = bins[0].start_sec, bins[-1].start_sec + 1
    step = max(1, -(-(last - first) // 16))
    ticks: dict[float, str] = {tick: str(tick) for tick in range(first, last + 1) if tick % step == 0}
    if bins[-1].stop_sec is None:  # the label of the open bin is centred
        ticks = {tick: label for tick, label in ticks.items() if tick < last - 1} | {last - 0.5: bins[-1].label}
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_xlim(first - 0.4, max(last, first + 6) + 0.4)
    axes.set_xlabel("seconds", color=_MUTED_COLOUR)
    axes.set_ylabel("segments", color=_MUTED_COLOUR)
    axes.locator_params(axis="y", integer=True)
    axes.grid(axis="y", color=_GRID_COLOUR)
    mean = kept.seconds / kept.rows
    _add_subtitle(axes, f"{kept.rows:,} segments, {mean:.1f} s on average, {format_duration(kept.seconds)} in all")
    return _render_png(figure)


@lru_cache(_KEPT_PLOTS)
def _draw_rejections(total: Amount, kept: Amount, funnel: tuple[RejectionTotal, ...]) -> bytes:
    figure, axes = _new_figure("Kept and rejected audio", left=0.37)
    if not total.samples:
        return _render_empty(figure, axes, "no input audio")
    bars = [("kept", kept.samples, kept.rows, _KEPT_COLOUR)]
    steps = [step for step in funnel if step.rows]
    shown = sorted(steps, key=lambda step: -step.samples)[:_MAX_BARS]
    for step in steps:
        if step in shown:
            colour = _STAGE_COLOURS.get(step.stage, _MUTED_COLOUR)
            bars.append((f"{step.reason.replace('_', ' ')} · {step.stage}", step.samples, step.rows, colour))
    rest = [step for step in steps if step not in shown]
    if rest:
        label = f"{len(rest)} more reasons"
        bars.append((label, sum(step.samples for step in rest), sum(step.rows for step in rest), _MUTED_COLOUR))
    shares = [100.0 * samples / total.samples for _, samples, _, _ in bars]
    places = range(len(bars))
    axes.barh(places, shares, height=0.72, color=[colour for *_, colour in bars])
    for place, share, (_, samples, rows, _) in zip(places, shares, bars, strict=True):
        time = format_duration(samples / total.sample_rate_hz)
        text = f"{time} · {rows:,} {'row' if rows == 1 else 'rows'} · {share:.1f} %"
        inside = share > 55
        axes.annotate(
            text, (share, place), xytext=(-6 if inside else 5, 0), textcoords="offset points", va="center",
            ha="right" if inside else "left", fontsize=8, color="white" if inside else _TEXT_COLOUR,
        )  # fmt: skip
    axes.set_yticks(places, [label for label, *_ in bars])
    axes.set_ylim(max(len(bars), 7) - 0.4, -0.6)  # keeps few bars thin
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of all audio", color=_MUTED_COLOUR)
    axes.grid(axis="x", color=_GRID_COLOUR)
    _add_subtitle(axes, f"{format_duration(total.seconds)} in, {format_duration(kept.seconds)} kept")
    return _render_png(figure)


def _new_figure(title: str, left: float) -> "tuple[Figure, Axes]":
    """`left` is the share of the width for labels; letting matplotlib compute it takes as long as drawing."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # takes half a second, so only when needed
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH_IN, _HEIGHT_IN), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    figure.subplots_adjust(left=left, right=0.97, top=0.87, bottom=0.15)
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=_TEXT_COLOUR, pad=10)
    axes.tick_params(length=0, labelsize=8.5, labelcolor=_TEXT_COLOUR)
    axes.spines[:].set_visible(False)
    return figure, axes


def _add_subtitle(axes: "Axes", text: str) -> None:
    axes.set_title(text, loc="right", fontsize=8.5, color=_MUTED_COLOUR, pad=10)


def _render_empty(figure: "Figure", axes: "Axes", text: str) -> bytes:
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", color=_MUTED_COLOUR, fontsize=12, transform=axes.transAxes)
    return _render_png(figure)


def _render_png(figure: "Figure") -> bytes:
    """128 colours are enough for flat shapes and text, and take a quarter of the bytes."""
    from PIL import Image

    canvas: FigureCanvasAgg = figure.canvas  # type: ignore[assignment]
    canvas.draw()
    drawn = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba())
    small = io.BytesIO()
    drawn.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(small, format="png", optimize=True)
    return small.getvalue()
