"""Mastering: the speech of a chapter becomes one stretch of audio, and the position of every sentence in it."""
