"""Markdown to HTML."""

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt

from voice_core.audiobook.reading.pieces import SPEAKER

_FENCE = re.compile(r" {0,3}(?:```|~~~)")
_ADDRESS = re.compile(r"\s*\S*[/#<:@]|\s*\w+\.\w{2,5}(?:\s|$)")


def markdown_to_html(text: str, first_line: int = 1) -> str:
    """HTML whose blocks have the number of their line in the attribute `data-line`.

    A line such as "[Anna]: Hello." is a paragraph. By the rules of Markdown it would define a link, and vanish.

    >>> markdown_to_html("A\\n[Anna]: Hello.").split("\\n")[1]
    '<p data-line="2">[Anna]: Hello.</p>'
    """
    lines: list[str] = []
    numbers: list[int] = []
    for number, line in _separate_speakers(text):
        lines.append(line)
        numbers.append(number + first_line)
    markdown = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    tokens = markdown.parse("\n".join(lines))
    for token in tokens:
        if token.map and token.nesting >= 0 and token.type != "inline":
            token.attrSet("data-line", str(numbers[min(token.map[0], len(numbers) - 1)]))
    return str(markdown.renderer.render(tokens, markdown.options, {}))


def _separate_speakers(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a text with their numbers; lines of other voices are paragraphs, and escaped."""
    in_code, before = False, ""
    for number, line in enumerate(text.split("\n")):
        in_code ^= bool(_FENCE.match(line))
        found = None if in_code else SPEAKER.match(line)
        if found and not _ADDRESS.match(line, found.end()):
            if before.strip():
                yield number, ""
            yield number, f"\\{line.lstrip()}"
        else:
            yield number, line
        before = line
