"""What the runs of a block of XHTML mean to each other: words divided at line breaks, and numbers above the line."""

import re
from collections.abc import Sequence

from voice_core.audiobook.reading.hyphenation import Words, joint_of
from voice_core.audiobook.reading.pieces import Run, without_invisible
from voice_core.audiobook.reading.superscripts import CONTEXT, SUPERSCRIPTS, is_figure, is_note_mark

LINE = "\u2028"
"""A run for a line break in prose. It is white space."""
_FOLLOWING = 4  # runs that are looked at for the text after one


def resolve_runs(runs: Sequence[Run], words: Words) -> list[Run]:
    """The runs with divided words joined, and with each raised number as a power or as a note's mark."""
    out: list[Run] = []
    before = ""  # the end of the spoken text so far
    last = -1  # the last run in `out` that is spoken and not blank
    is_joined = False  # the next run goes on with a word
    for i, run in enumerate(runs):
        if run.reason or not run.text:
            out.append(run)
            continue
        if run.text == LINE and last >= 0:
            joint = joint_of(out[last].text.rstrip(), _after(runs, i).lstrip(), words)
            if joint != " ":
                text = out[last].text.rstrip()
                out[last] = out[last]._replace(text=text[:-1] if joint else text)
                out[last + 1 :] = [item for item in out[last + 1 :] if item.reason]
                if joint:
                    out.append(Run(text[-1], "hyphenation"))
                is_joined = True
                continue
        if is_joined:
            run = run._replace(text=run.text.lstrip())
            is_joined = not run.text
        elif run.raised:
            run, space = _raise(run, before, _after(runs, i))
            out += space
        out.append(run)
        if not run.reason:
            before = f"{before}{run.text}"[-CONTEXT:]
            last = last if run.text.isspace() or not run.text else len(out) - 1
    return out


def space_words(runs: Sequence[Run]) -> list[Run]:
    """The runs of a heading, with a space where a number or word and a capital meet: style sheets put these in lines
    of their own, as "1" and "The Sea"."""
    out: list[Run] = []
    before = ""
    for run in runs:
        if run.text and not run.reason and not run.raised:
            if run.text[0].isupper() and (before.isdigit() or before.islower()):
                out.append(Run(" "))
            before = run.text[-1]
        out.append(run)
    return out


def _raise(run: Run, before: str, after: str) -> tuple[Run, list[Run]]:
    """A run of raised text as it is read, and the space before it where it needs one.

    Numbers become superscripts; whether these are marks of notes is found out later, with those of plain text.
    """
    before, after = (_plain(text) for text in (before, after))
    text = run.text.strip()
    if is_figure(text, after):
        return run, [Run(" ")] if before[-1:].isdigit() else []
    if not text[:1].isdigit() and is_note_mark(before, text, after):
        return run._replace(reason="note_mark"), []
    return run._replace(text=run.text.translate(SUPERSCRIPTS)), []


def _plain(text: str) -> str:
    """Single spaces, also at the ends, and no invisible characters."""
    return re.sub(r"\s+", " ", without_invisible(text))


def _after(runs: Sequence[Run], index: int) -> str:
    """The beginning of the spoken text after a run."""
    following = runs[index + 1 : index + 1 + _FOLLOWING]
    return "".join(run.text[:CONTEXT] for run in following if not run.reason)
