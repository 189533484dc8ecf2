"""The machine with an H200: it encodes segments, writes the dataset, and speaks dialogues."""

from voice_assets.locations import on_machine

defs = on_machine("gpu_h200", steps=("encode", "write", "speak"))
