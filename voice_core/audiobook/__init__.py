"""Audiobooks: a book becomes chunks of text, validated speech, and a mastered audiobook."""
