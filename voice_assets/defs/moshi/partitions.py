"""The partitions of the Moshi shards: one per batch of dialogues. A dialogue stays in the batch it was assigned to."""

import dagster as dg

NAME = "dialogue_batch"
ASSETS = ("dialogues", "moshi_shards")
dialogue_batch = dg.DynamicPartitionsDefinition(name=NAME)
