"""The machine with a T4: it is near the raw bucket, and cuts recordings into segments."""

from voice_assets.locations import build_machine_definitions

defs = build_machine_definitions("gpu_t4", steps=("ingest",))
