"""The partitions of the audiobooks: one per book, named by the book's file without its extension."""

import dagster as dg

BOOK = "book"
ASSETS = ("book_chunks", "chunk_audio", "audiobook")
book = dg.DynamicPartitionsDefinition(name=BOOK)
