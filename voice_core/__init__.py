"""The library: plain Python, no Dagster, no web framework."""
