"""The voice dataset: recordings and transcripts to segments, codes, rows and a dataset card."""
