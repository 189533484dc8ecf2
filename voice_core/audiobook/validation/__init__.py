"""Validation of a book's speech: measures of every take (tier 1), and recognition of a share of them (tier 2)."""
