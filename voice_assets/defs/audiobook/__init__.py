"""Audiobooks: a book's text in chunks, the validated speech of each chunk, and the mastered audiobook."""
