"""The rules that decide which segments are kept. Each rule compares one measure with a threshold of the settings."""

from collections.abc import Callable

from voice_core.settings import RuleSettings
from voice_core.stages.manifest import KEEP, Entry, Reject, Verdict

Rule = Callable[[Entry, RuleSettings], Verdict]


def _at_least(reason: str, value: float | None, threshold: float) -> Verdict:
    return KEEP if value is None or value >= threshold else Reject("rules", reason, value, threshold)


def _at_most(reason: str, value: float | None, threshold: float) -> Verdict:
    return KEEP if value is None or value <= threshold else Reject("rules", reason, value, threshold)


def silent(entry: Entry, rules: RuleSettings) -> Verdict:
    return _at_least("silent", entry.rms_dbfs, rules.min_rms_dbfs)


def too_short(entry: Entry, rules: RuleSettings) -> Verdict:
    return _at_least("too_short", entry.duration_sec, rules.min_duration_sec)


def too_long(entry: Entry, rules: RuleSettings) -> Verdict:
    return _at_most("too_long", entry.duration_sec, rules.max_duration_sec)


def clipped(entry: Entry, rules: RuleSettings) -> Verdict:
    return _at_most("clipped", entry.clipped_share, rules.max_clipped_share)


def mostly_silence(entry: Entry, rules: RuleSettings) -> Verdict:
    return _at_most("mostly_silence", entry.silence_share, rules.max_silence_share)


def noisy(entry: Entry, rules: RuleSettings) -> Verdict:
    return _at_least("noisy", entry.snr_db, rules.min_snr_db)


def narrow_band(entry: Entry, rules: RuleSettings) -> Verdict:
    return _at_least("narrow_band", entry.bandwidth_hz, rules.min_bandwidth_hz)


def text_too_slow(entry: Entry, rules: RuleSettings) -> Verdict:
    return _at_least("text_too_slow", entry.chars_per_sec, rules.min_chars_per_sec)


def text_too_fast(entry: Entry, rules: RuleSettings) -> Verdict:
    return _at_most("text_too_fast", entry.chars_per_sec, rules.max_chars_per_sec)


RULES: tuple[Rule, ...] = (
    silent,
    too_short,
    too_long,
    clipped,
    mostly_silence,
    noisy,
    narrow_band,
    text_too_slow,
    text_too_fast,
)
"""Applied in this order; the first rule that rejects a segment gives the reason."""


def apply_rules(entry: Entry, settings: RuleSettings) -> Entry:
    """The row of a segment with the verdict of the rules."""
    for rule in RULES:
        verdict = rule(entry, settings)
        if isinstance(verdict, Reject):
            return entry.with_verdict(verdict)
    return entry.with_verdict(KEEP)
