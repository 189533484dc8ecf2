"""The files that are made of mastered chapters: encoded audio, the m4b, captions, the EPUB, and the like."""
