"""The text of the dataset card, README.md. Deterministic. `card_markup` writes YAML and Markdown."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml  # type: ignore[import-untyped]

from voice_core.corpus.dataset.card_markup import escape_markdown, inline_code, render_front_matter, table
from voice_core.corpus.dataset.column_descriptions import (
    COLUMN_DESCRIPTIONS,
    CONFIG_DESCRIPTIONS,
    NEUTTS_REASON_DESCRIPTIONS,
)
from voice_core.corpus.dataset.exporters import config_schemas
from voice_core.corpus.dataset.parameter_sets import ParameterSet, shared_parameters
from voice_core.corpus.dataset.summary import Amount, LabelTotal, Summary, format_duration
from voice_core.corpus.labels import LABELS
from voice_core.corpus.names import FULL, NEUTTS
from voice_core.language import pluralize
from voice_core.settings import CardSettings, Settings

_MAX_SPEAKERS = 50
_BAR_CHARS = 30
_MAX_SETS, _MAX_PARTITIONS = 10, 5
_PERSONAL = "|".join(re.escape(label.title) for label in LABELS if label.personal)
_SPEAKER_TABLES = re.compile(rf"### By (?:{_PERSONAL})\n.*?(?=^##)", re.MULTILINE | re.DOTALL)
_SCOPES = {
    "recording": "A `speaker_id` means one person within its recording only.",
    "channel": "A `speaker_id` means one person within its channel: its recordings are in one split.",
    "corpus": "A `speaker_id` means one person everywhere: its recordings are in one split.",
}


def render_card(
    summary: Summary,
    settings: Settings,
    *,
    splits: Sequence[str],
    configs: Sequence[str] | Mapping[str, Sequence[str]],
    digests: Mapping[str, str] | None = None,
) -> str:
    """README.md of the dataset.

    `splits` and `configs` are those that have rows; a mapping gives each config its own splits, since `datasets`
    rejects a config with a split without files. `digests` identify the content of each config's files: `datasets`
    caches a local dataset by a hash of the YAML, not of the files.
    """
    own = configs if isinstance(configs, Mapping) else dict.fromkeys(configs, splits)
    available = {config: tuple(own[config]) for config in own if own[config]}
    title = settings.card.title or settings.dataset
    sections = [
        "---\n" + render_front_matter(summary, settings, title, available, digests or {}) + "---",
        f"# {escape_markdown(title)}",
        _introduction(summary, available),
        _codes_note(summary),
        "## Contents\n\n" + _contents(summary),
        *_breakdowns(summary, settings),
        "## Durations\n\n![How many segments there are of each length](figures/durations.png)\n\n"
        + _durations(summary),
        "## Audio accounting\n\n" + _funnel(summary),
        "## Splits\n\n" + _splits(summary, settings),
        "## Columns\n\n" + _columns(summary, settings, available),
        *(["## NeuTTS\n\n" + _neutts(summary)] if NEUTTS in available else []),
        "## Models and parameters\n\n" + _parameters(summary),
        "## Licence and sources\n\n" + _licence(settings),
        *(["## Loading\n\n" + _loading(available)] if available else []),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def strip_speaker_tables(card: str) -> str:
    """The card without its YAML and the tables with speakers, for places that `voice forget` does not clean."""
    return _SPEAKER_TABLES.sub("", card.split("---\n", 2)[-1])


def read_card_settings(readme: str, dataset: str) -> CardSettings:
    """The card settings that a card was written with; `dataset` is the name that is used without a title."""
    head = yaml.safe_load(readme.split("---\n")[1])
    sources = re.search(r"^Sources: (.*?)(?=\n\n## Loading\n|\n?\Z)", readme, re.MULTILINE | re.DOTALL)
    stated_sources = sources[1] if sources else ""
    return CardSettings(
        title="" if head["pretty_name"] == dataset else head["pretty_name"],
        licence=head["license"],
        languages=tuple(head.get("language", ())),
        sources="" if stated_sources.startswith("**Not stated**") else stated_sources,
    )


def _introduction(summary: Summary, available: Mapping[str, Sequence[str]]) -> str:
    recordings = pluralize(summary.recording_count, "recording")
    channels = pluralize(len(summary.channels), "channel")
    lead = (
        f"{pluralize(summary.kept.rows, 'segment')} of transcribed speech, "
        f"{format_duration(summary.kept.seconds)} in all, cut from {recordings} of {channels}, "
        f"with {summary.text_characters:,} characters of text."
    )
    lines = [
        f"- `{config}` ({', '.join(available[config])}): {CONFIG_DESCRIPTIONS.get(config, config)}"
        for config in available
    ]
    return lead + ("\n\n" + "\n".join(lines) if lines else "")


def _codes_note(summary: Summary) -> str:
    if not summary.has_codes:
        return "> **No codes.** This dataset was built without a codec: it holds audio and text only."
    if not summary.stand_in:
        return ""
    names = ", ".join(sorted({f"`{codec['codec']}`" for codec in summary.codecs if codec.get("stand_in")}))
    return (
        f"> [!WARNING]\n> **The codes are NOT NeuCodec's.** They were made by {names}, a small codec that stands in "
        "for a real one: they have its shape and rate, not its meaning or quality.\n> They are for testing the "
        "pipeline only. Do not train a model that others use on them."
    )


def _contents(summary: Summary) -> str:
    lines = [("all", summary.kept), *((tally.label, tally) for tally in summary.splits)]
    return table(
        ("split", "rows", "hours"), [(escape_markdown(name), *_rows_hours(amount)) for name, amount in lines], "lrr"
    )


def _breakdowns(summary: Summary, settings: Settings) -> list[str]:
    totals = {"speaker_id": summary.speakers, **summary.labels}
    groups = (
        ("channel", summary.channels),
        *((label.title, totals[label.name]) for label in LABELS),
    )
    parts = {name: f"### By {name}\n\n" + _tallies(name, tallies) for name, tallies in groups if tallies}
    if "speaker" in parts and settings.split.speaker_scope == "recording":
        parts["speaker"] += f"\n\n{_SCOPES['recording']} A row of this table may combine several people."
    return list(parts.values())


def _tallies(name: str, tallies: Sequence[LabelTotal]) -> str:
    shown = tallies[:_MAX_SPEAKERS]
    more = len(tallies) - len(shown)
    text = table(
        (name, "rows", "hours"), [(escape_markdown(tally.label), *_rows_hours(tally)) for tally in shown], "lrr"
    )
    return text + (f"\n\n… and {more:,} more." if more else "")


def _rows_hours(amount: Amount) -> tuple[str, str]:
    return f"{amount.rows:,}", f"{amount.hours:,.3f}"


def _durations(summary: Summary) -> str:
    if not summary.durations:
        return "Nothing was kept."
    most = max(item.rows for item in summary.durations)
    bars = [
        (item.label, f"{item.rows:,}", "█" * round(_BAR_CHARS * item.rows / most) or ("▏" if item.rows else ""))
        for item in summary.durations
    ]
    return table(("seconds", "rows", ""), bars, "rrl")


def _funnel(summary: Summary) -> str:
    def line(stage: str, what: str, amount: Amount) -> tuple[str, ...]:
        share = 100.0 * amount.samples / summary.total.samples if summary.total.samples else 0.0
        return stage, what, f"{amount.rows:,}", f"{amount.seconds:,.3f}", f"{amount.samples:,}", f"{share:.2f} %"

    lines = [
        line(escape_markdown(step.stage), escape_markdown(step.reason.replace("_", " ")), step)
        for step in summary.funnel
    ]
    lines.append(line("", "**rejected**", summary.rejected))
    lines.append(line("", "**kept**", summary.kept))
    if summary.unaccounted_samples:
        lines.append(line("", "**unaccounted for**", Amount(0, summary.unaccounted_samples, summary.sample_rate_hz)))
    lines.append(line("", "**total = rejected + kept**", summary.total))
    found = ", ".join(f"{tally.rows:,} {tally.label.replace('_', ' ')}" for tally in summary.recordings)
    return (
        f"Recordings: {found or 'none'}. A row is a transcript line, or the part of a recording that no line covers, "
        f"or a recording rejected as a whole; samples are counted at {summary.sample_rate_hz:,} Hz.\n\n"
        + table(("stage", "what", "rows", "seconds", "samples", "share"), lines, "llrrrr")
    )


def _splits(summary: Summary, settings: Settings) -> str:
    if not summary.splits:
        return "The rows are not assigned to splits yet."
    return (
        f"{settings.split.test_fraction:.1%} of the groups of recordings are held out for `test`, chosen by a hash "
        f"(seed {inline_code(settings.split.seed)}). All segments of a recording are in one split. "
        f"{_SCOPES[settings.split.speaker_scope]} A test row whose text is also spoken in train is left out (reason "
        "*text in train*), so neither recording nor text leaks."
    )


def _columns(summary: Summary, settings: Settings, available: Mapping[str, Sequence[str]]) -> str:
    of_config = config_schemas(with_codes=summary.has_codes, sample_rate_hz=settings.cut.sample_rate_hz)
    parts = []
    for config in available:
        lines = [
            (f"`{item.name}`", str(item.type), COLUMN_DESCRIPTIONS.get(item.name, ""))
            for item in of_config.get(config, ())
        ]
        lines = [(name, "Audio" if name == "`audio`" else _type(kind), what) for name, kind, what in lines]
        parts.append(f"### `{config}`\n\n" + table(("column", "type", "what it is"), lines, "lll"))
    return "\n\n".join(parts)


def _type(kind: str) -> str:
    """
    >>> _type("list<item: int32>"), _type("double")
    ('list of int32', 'float64')
    """
    return re.sub(r"list<.*: (\w+)>", r"list of \1", kind).replace("double", "float64")


def _neutts(summary: Summary) -> str:
    if not summary.neutts_dropped:
        return "NeuTTS's own filter drops none of these rows."
    lines = [
        (NEUTTS_REASON_DESCRIPTIONS.get(name, escape_markdown(name)), f"{count:,}")
        for name, count in summary.neutts_reasons
    ]
    return (
        f"All {summary.kept.rows:,} rows are published. NeuTTS's own training filter drops {summary.neutts_dropped:,} "
        "of them, for what is in their text (a row may have several reasons):\n\n"
        + table(("reason", "rows"), lines, "lr")
    )


def _parameters(summary: Summary) -> str:
    sets = summary.parameter_sets
    shared = shared_parameters(sets) if sets else {}
    lines = [(f"`{name}`", inline_code(value)) for name, value in shared.items()]
    text = table(("parameter", "value"), lines, "ll") if lines else "None were recorded."
    if len(sets) > 1:
        text = _differences(sets, shared) + "\n\nParameters that are the same everywhere:\n\n" + text
    if len(summary.codecs) > 1:
        made = "; ".join(
            f"{inline_code(codec['codec'])} {inline_code(codec.get('revision', ''))}" for codec in summary.codecs
        )
        text = f"**The partitions were encoded differently**, by {made}.\n\n" + text
    if summary.roundtrip is not None:
        trip = summary.roundtrip
        text += (
            f"\n\n{trip.rows:,} segments were decoded again and compared with their audio: {trip.mel_db:.2f} dB mean "
            f"absolute log-mel distance, {trip.level_db:+.2f} dB difference in level."
        )
    if summary.agreement is not None:
        rows, share = summary.agreement
        text += (
            f"\n\n{rows:,} segments were also encoded by the codec's plain path: {share:.4%} of the codes are equal."
        )
    return text


def _differences(sets: Sequence[ParameterSet], shared: Mapping[str, Any]) -> str:
    """A list item per set of parameters: its partitions, and the parameters that differ."""
    lines = []
    for item in sets[:_MAX_SETS]:
        named = ", ".join(map(inline_code, item.partitions[:_MAX_PARTITIONS]))
        more = len(item.partitions) - _MAX_PARTITIONS
        own = ", ".join(f"`{name}` {inline_code(value)}" for name, value in item.values.items() if name not in shared)
        lines.append(f"- {named}{f' and {more:,} more' if more > 0 else ''}: {own or 'no others'}")
    if len(sets) > _MAX_SETS:
        lines.append(f"- and {len(sets) - _MAX_SETS:,} more sets of parameters")
    return "**The partitions were built with different parameters:**\n\n" + "\n".join(lines)


def _licence(settings: Settings) -> str:
    sources = settings.card.sources.strip() or "**Not stated**: set `VOICE_CARD__SOURCES`."
    licence = inline_code(settings.card.licence)
    if settings.card.licence == "other":
        licence += " (not stated further: set `VOICE_CARD__LICENCE`)"
    return f"Licence: {licence}.\n\nSources: {sources}"


def _loading(available: Mapping[str, Sequence[str]]) -> str:
    config = FULL if FULL in available else next(iter(available))
    split = available[config][0]
    lines = ["from datasets import Audio, load_dataset", ""]
    lines.append(f'dataset = load_dataset("path/or/hub-name", "{config}", split="{split}")')
    if config == FULL:
        lines[:0] = ["import io", "", "import soundfile"]
        lines += [
            'dataset = dataset.cast_column("audio", Audio(decode=False))  # no torchcodec needed',
            'pcm, sample_rate_hz = soundfile.read(io.BytesIO(dataset[0]["audio"]["bytes"]))',
        ]
    else:
        lines[0] = "from datasets import load_dataset"
    return "```python\n" + "\n".join(lines) + "\n```"
