"""What `voice moshi build` prints: what was left out and why, the size of the lists, and the speed."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec

from rich.table import Table

from voice_assets.cli.output import (
    console,
    format_speed,
    print_error_line,
    print_line,
    print_warning_line,
    take_first,
)
from voice_core.language import is_english, pluralize
from voice_core.moshi.build import MoshiBuildReport, engine_spec
from voice_core.moshi.shard_manifest import ShardManifest
from voice_core.moshi.trainer_manifest import TrainerManifestReport, trainer_manifest_key
from voice_core.settings import Settings

_MAX_LISTED = 20  # dialogues that are named


@dataclass(slots=True)
class _Counts:
    """What became of the lines and turns of all batches. `messages` describe the first rejects."""

    reasons: dict[str, int] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    turns: int = 0
    approximate: int = 0
    with_emotion: int = 0

    def add(self, manifest: ShardManifest) -> None:
        for row in manifest.first_rejects():
            self.reasons[row.reason] = self.reasons.get(row.reason, 0) + 1
            if len(self.messages) < _MAX_LISTED:
                where = f"{row.dialogue_id}, turn {row.turn + 1}: " if row.turn >= 0 else ""
                self.messages.append(f"{where}{row.message}")
        for row in (row for _, rows in manifest.kept() for row in rows):
            self.turns += 1
            self.approximate += row.approximate
            self.with_emotion += bool(row.emotion)


def print_report(
    report: MoshiBuildReport, manifests: Iterable[ShardManifest], settings: Settings, wall_sec: float
) -> None:
    """Print what a build did. `manifests` are those of all its batches; one is in memory at a time."""
    counts = _Counts()
    for manifest in manifests:
        counts.add(manifest)
    _print_problems(report, counts)
    console.print(_lists_table(report.lists, counts, settings))
    speed = format_speed(report.speech_sec, wall_sec)
    measured = f"; voices measured: {report.voices_measured}" if report.voices_measured else ""
    spoken = pluralize(report.spoken, "utterance")
    console.print(f"{spoken} synthesised in {wall_sec:,.1f} s{speed}{measured}", highlight=False)
    if counts.approximate:
        share = f"{counts.approximate:,} of {counts.turns:,} turns"
        print_line(f"The word times of {share} are approximate{_alignment_hint(settings)}.")
    if counts.with_emotion and not engine_spec(settings).load().capabilities.emotions:
        turns = pluralize(counts.with_emotion, "turn")
        print_line(f"{turns} with an emotion: {settings.speech.engine} does not support emotions.")
    print_line(f"{settings.work_url}/{trainer_manifest_key(settings.moshi.name)}")


def _print_problems(report: MoshiBuildReport, counts: _Counts) -> None:
    for line in counts.messages:
        print_warning_line(line, "left out:")
    unnamed = sum(counts.reasons.values()) - len(counts.messages)
    if unnamed:
        print_warning_line(f"and {unnamed:,} more; see the manifests", "left out:")
    for batch, why in report.failures.items():
        print_error_line(f"{batch}: {why}", "failed:")
    lists = report.lists
    if lists.incomplete:
        shown, more = take_first(lists.incomplete, _MAX_LISTED)
        batches = f"{', '.join(shown)}{f' {more}' if more else ''}"
        print_warning_line(f"{batches}. They are not in the manifests. Run the same command again", "not finished:")
    if report.assignment.removed:
        removed = pluralize(report.assignment.removed, "dialogue")
        print_warning_line(f"{removed} that the input no longer has", "removed:")
    if lists.warning:
        print_warning_line(lists.warning, "note:")
    if not lists.rows:
        print_error_line("no dialogue was synthesised", "failed:")


def _lists_table(lists: TrainerManifestReport, counts: _Counts, settings: Settings) -> Table:
    table = Table(title=f"{settings.moshi.name}: data for Moshi fine-tuning", title_justify="left")
    for name in ("", "dialogues", "minutes"):
        table.add_column(name, justify="left" if not name else "right")
    table.add_row("train", f"{lists.train_rows:,}", f"{(lists.duration_sec - lists.eval_sec) / 60:,.1f}")
    table.add_row("eval", f"{lists.eval_rows:,}", f"{lists.eval_sec / 60:,.1f}")
    for reason, count in sorted(counts.reasons.items()):
        table.add_row(f"left out: {reason}", f"{count:,}", "")
    return table


def _alignment_hint(settings: Settings) -> str:
    """How to get exact word times, unless approximate ones are configured."""
    moshi = settings.moshi
    if moshi.aligner != "auto":
        return ""
    if not is_english(moshi.language):
        return "" if moshi.ctc_model else ": for exact ones, set VOICE_MOSHI__CTC_MODEL to a model"
    if find_spec("pocketsphinx") is None:
        return ": for exact ones, pip install 'voice-data-factory[moshi]' (pocketsphinx)"
    return ": pocketsphinx did not align all words"
