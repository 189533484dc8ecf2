"""The documents of a chapter in an EPUB: its text with a span for each sentence, and the overlay that times them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from voice_core.audiobook.chunk_manifest import ChunkRow
from voice_core.audiobook.mastering.chapter_source import ChapterSource
from voice_core.audiobook.mastering.marks import SentenceMark, sentence_slices
from voice_core.language import primary_subtag, text_direction

ACTIVE_CLASS = "-epub-media-overlay-active"
PLAYING_CLASS = "-epub-media-overlay-playing"
CSS = f"""body {{ margin: 5%; line-height: 1.5; }}
blockquote, aside {{ margin: 1em 2em; }}
pre {{ white-space: pre-wrap; }}
.verse {{ white-space: pre-line; }}
.skipped {{ color: #666; }}
.{ACTIVE_CLASS} {{ background: #ffe9a8; color: #000; }}
"""
_WITHOUT_SPACES = {"zh", "ja", "th", "lo", "my", "km"}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_TAGS = {"quote": "blockquote", "code": "pre", "note": "aside"}


def language_tag(language: str) -> str:
    """A language code that EPUB takes; "und" for one that is not BCP-47.

    >>> language_tag("en_GB"), language_tag("Old English")
    ('en-GB', 'und')
    """
    code = language.replace("_", "-")
    return code if _LANGUAGE.fullmatch(code) else "und"


def xml_text(text: str) -> str:
    """Text as XML, without the characters that XML cannot hold.

    >>> xml_text("a < b & \\x0bc")
    'a &lt; b &amp; c'
    """
    return escape(_NOT_XML.sub("", text))


@dataclass(frozen=True, slots=True)
class ChapterPage:
    """A chapter in the EPUB, by the name of its files. `chapter` 0 is the text outside of all chapters."""

    name: str
    title: str
    chapter: ChapterSource
    marks: Sequence[SentenceMark] = ()
    sample_count: int = 0


def xhtml_page(page: ChapterPage, language: str) -> str:
    """The chapter's document."""
    code = language_tag(language)
    body = "\n".join(_blocks(page.chapter, language))
    title = xml_text(page.title)
    return f"""<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops" xml:lang="{code}" lang="{code}" \
dir="{text_direction(language)}">
<head>
<title>{title}</title>
<link rel="stylesheet" type="text/css" href="style.css"/>
</head>
<body>
<section aria-label="{title}">
{body}
</section>
</body>
</html>
"""


def _blocks(chapter: ChapterSource, language: str) -> Iterator[str]:
    space = "" if primary_subtag(language) in _WITHOUT_SPACES else " "
    for _, group in groupby(chapter.rows, key=lambda row: row.block):
        block = list(group)
        content = space.join(_row_html(row, language) for row in block)
        kind = block[0].kind
        if kind == "heading":
            level = min(6, chapter.level)  # HTML has no more
            yield f"<h{level}>{content}</h{level}>"
        elif kind == "list_item":
            yield f"<ul><li>{content}</li></ul>"
        elif kind in _TAGS:
            tag = _TAGS[kind]
            inner = f"<p>{content}</p>" if tag in ("blockquote", "aside") else content
            yield f"<{tag}{' epub:type=' + chr(34) + 'footnote' + chr(34) if tag == 'aside' else ''}>{inner}</{tag}>"
        else:
            yield f'<p class="{kind}">{content}</p>' if kind != "paragraph" else f"<p>{content}</p>"


def _row_html(row: ChunkRow, language: str) -> str:
    """A row's text: a span for each sentence of a chunk; one that is not spoken is a span without an id."""
    other = ""
    if row.language and row.language != language:
        code = language_tag(row.language)
        other = f' xml:lang="{code}" lang="{code}" dir="{text_direction(row.language)}"'
    if not row.is_spoken:
        return f'<span class="skipped"{other}>{xml_text(row.text)}</span>'
    parts = []
    at = 0
    for index, (start, end) in enumerate(sentence_slices(row.text, row.sentences)):
        parts.append(xml_text(row.text[at:start]))
        parts.append(f'<span id="{_span_id(row.chunk_id, index)}"{other}>{xml_text(row.text[start:end])}</span>')
        at = end
    return "".join([*parts, xml_text(row.text[at:])])


def _span_id(chunk_id: str, index: int) -> str:
    return f"s{chunk_id}-{index}"


def smil_page(page: ChapterPage, audio: str, rate_hz: int) -> str:
    """The chapter's overlay. Each clip ends where the next one begins, so that playing is not interrupted."""
    marks = page.marks
    begins = [0, *(mark.start for mark in marks[1:])]
    clips = zip(marks, begins, [*begins[1:], page.sample_count], strict=True)
    pars = "\n".join(
        f'<par id="p{number}"><text src="{page.name}.xhtml#{_span_id(mark.chunk_id, mark.index)}"/>'
        f'<audio src="{audio}" clipBegin="{clock(begin, rate_hz)}" clipEnd="{clock(end, rate_hz)}"/></par>'
        for number, (mark, begin, end) in enumerate(clips, 1)
    )
    return f"""<?xml version="1.0" encoding="utf-8"?>
<smil xmlns="http://www.w3.org/ns/SMIL" xmlns:epub="http://www.idpf.org/2007/ops" version="3.0">
<body>
<seq id="seq" epub:textref="{page.name}.xhtml">
{pars}
</seq>
</body>
</smil>
"""


def clock(samples: int, rate_hz: int) -> str:
    """A clock value of SMIL, to the millisecond.

    >>> clock(24_000 * 3_661 + 12, 24_000)
    '1:01:01.001'
    """
    milliseconds = (samples * 2000 + rate_hz) // (2 * rate_hz)
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{rest:03d}"
