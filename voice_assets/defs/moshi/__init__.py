"""Moshi shards: dialogue scripts spoken in two voices."""
