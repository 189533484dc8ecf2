"""Reads books: EPUB, text, Markdown and HTML become chapters of blocks, with every character accounted for.

The reasons of blocks that are not spoken: `note`, `note_mark`, `page_number`, `ruby`, `ornament`, `table`, `code`,
`caption`, `front_matter`, `back_matter`, `contents`, `hidden`, `picture` (text drawn in a picture), `not_linear` (a
document outside of the reading order), `chapter_marker`, `markup` (signs of plain text), `hyphenation`, `metadata`.
"""

from voice_core.audiobook.reading.formats import BOOK_SUFFIXES, read_book

__all__ = ["BOOK_SUFFIXES", "read_book"]
