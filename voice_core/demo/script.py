"""The script of the demo: the talks of talks.txt, the speakers, and the lines that recur."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

TALKS_PATH: Final = Path(__file__).with_name("talks.txt")

RECURRING_LINES: Final = (
    "Let us begin at the beginning.",
    "Thank you for staying with us until the end.",
    "That is all from the harbour for now.",
)
"""Lines in several recordings, by different speakers: a split by recording alone would leak these texts."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """A named voice. `dialect` and `tone` are labels for the pipeline to carry; the engine speaks English."""

    speaker_id: str
    voice: str
    gender: str
    dialect: str
    tone: str


@dataclass(frozen=True, slots=True)
class ScriptLine:
    """The spoken text, and the text of the transcript (Arabic lines are spoken in English)."""

    spoken: str
    written: str


def _woman(speaker_id: str, dialect: str, tone: str) -> Speaker:
    return Speaker(speaker_id, "heart", "female", dialect, tone)


def _man(speaker_id: str, dialect: str, tone: str) -> Speaker:
    return Speaker(speaker_id, "heart-low", "male", dialect, tone)


CAST: Final[dict[str, tuple[Speaker, Speaker]]] = {
    "salma_yousef": (_woman("سلمى", "نجدي", "هادئ"), _man("يوسف", "نجدي", "حماسي")),
    "noura_faisal": (_woman("نورة", "حجازي", "مرح"), _man("فيصل", "حجازي", "هادئ")),
    "hind_omar": (_woman("هند", "خليجي", "هادئ"), _man("عمر", "خليجي", "جاد")),
    "layla_khalid": (_woman("layla", "فصحى", "neutral"), _man("khalid", "فصحى", "neutral")),
    "reem_majed": (_woman("ريم", "جنوبي", "حماسي"), _man("ماجد", "جنوبي", "مرح")),
    "dana_saad": (_woman("دانة", "نجدي", "جاد"), _man("سعد", "نجدي", "هادئ")),
    "ada_hugo": (_woman("ada", "en-US", "neutral"), _man("hugo", "en-US", "neutral")),
    "mara_tom": (_woman("mara", "en-US", "warm"), _man("tom", "en-US", "playful")),
    "mara_ben": (_woman("mara", "en-US", "warm"), _man("ben", "en-US", "neutral")),
    "ines_otis": (_woman("ines", "en-US", "calm"), _man("otis", "en-US", "calm")),
    "ruth_paul": (_woman("ruth", "en-US", "warm"), _man("paul", "en-US", "serious")),
    "ivy_sam": (_woman("ivy", "en-US", "neutral"), _man("sam", "en-US", "serious")),
}
"""Pairs of speakers of a recording. Some are in several, as Mara and Salma do: a split by speaker keeps those
recordings together."""


@cache
def load_talks() -> dict[str, tuple[ScriptLine, ...]]:
    """Every talk of talks.txt by name, with its texts in order."""
    found: dict[str, list[ScriptLine]] = {}
    lines: list[ScriptLine] = []
    for row in TALKS_PATH.read_text(encoding="utf-8").partition("\n\n")[2].splitlines():
        if row.startswith("# "):
            lines = found.setdefault(row[2:], [])
        elif row:
            spoken, _, written = row.partition(" => ")
            lines.append(ScriptLine(spoken, written or spoken))
    return {name: tuple(texts) for name, texts in found.items()}


def shorten_talk(texts: tuple[ScriptLine, ...], scale: float) -> tuple[ScriptLine, ...]:
    """A talk cut to about `scale` of its lines, at least three; its last line, where texts recur, stays.

    >>> [text.spoken for text in shorten_talk(tuple(ScriptLine(c, c) for c in "abcdefgh"), 0.5)]
    ['a', 'b', 'c', 'h']
    """
    count = max(min(3, len(texts)), round(len(texts) * scale))
    return texts if count >= len(texts) else (*texts[: count - 1], texts[-1])
