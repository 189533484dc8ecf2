"""The machine with an H200: it encodes segments, writes the dataset, and synthesises dialogues."""

from voice_assets.locations import build_machine_definitions

defs = build_machine_definitions("gpu_h200", steps=("encode", "write", "speak"))
