"""The templates of pages and notebooks; every value is escaped."""

from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from voice_core.corpus.dataset.summary import format_duration
from voice_core.corpus.labels import LABELS
from voice_core.corpus.manifest import Entry
from voice_core.language import pluralize, text_direction

_HERE = Path(__file__).parent
_FOLDERS = (_HERE, _HERE.parent / "demo")
_MOST_TEXT = 600


def format_measures(entry: Entry) -> list[tuple[str, str]]:
    """The labels and measures of a segment, with units.

    >>> format_measures(Entry("line", "a", snr_db=21.26, bandwidth_hz=7_900.0))
    [('SNR', '21.3 dB'), ('band', '7.9 kHz')]
    """
    known = (
        ("SNR", entry.snr_db, "{:.1f} dB", 1.0),
        ("level", entry.rms_dbfs, "{:.1f} dBFS", 1.0),
        ("peak", entry.peak_dbfs, "{:.1f} dBFS", 1.0),
        ("band", entry.bandwidth_hz, "{:.1f} kHz", 1e-3),
        ("silence", entry.silence_share, "{:.0f} %", 100.0),
        ("clipped", entry.clipped_share or None, "{:.2f} %", 100.0),
        ("speed", entry.chars_per_sec, "{:.1f} chars/s", 1.0),
        ("codes off by", entry.roundtrip_mel_db, "{:.1f} dB", 1.0),
    )
    return [(name, form.format(value * unit)) for name, value, form, unit in known if value is not None]


def _given_labels(entry: Entry) -> list[tuple[str, str]]:
    """The titles and values of the labels that the transcript gives."""
    values = [(label.title, str(getattr(entry, label.name))) for label in LABELS]
    return [(title, value) for title, value in values if value]


def _shortened(text: str, most: int = _MOST_TEXT) -> str:
    return text if len(text) <= most else text[:most].rstrip() + " …"


@lru_cache(maxsize=1)
def template_environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_FOLDERS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "time": format_duration,
        "number": lambda value: f"{value:,}",
        "count": pluralize,
        "measures": format_measures,
        "labels": _given_labels,
        "shortened": _shortened,
        # A text of figures alone has no direction of its own.
        "direction": lambda language: "rtl" if text_direction(language) == "rtl" else "auto",
        "words": lambda name: name.replace("_", " "),
    }
    return made
