"""The machine with a T4: it stands beside the raw bucket, and cuts recordings into segments."""

from voice_assets.locations import on_machine

defs = on_machine("gpu_t4", steps=("ingest",))
