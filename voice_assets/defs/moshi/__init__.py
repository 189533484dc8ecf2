"""Moshi shards: dialogue scripts to stereo audio with word alignments, and the manifests that the trainer reads."""
