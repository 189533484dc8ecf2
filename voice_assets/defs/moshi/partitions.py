"""The partitions of the Moshi shards: one per batch of dialogues. A dialogue stays in the batch it was assigned to."""

import dagster as dg

DIALOGUE_BATCH = "dialogue_batch"
ASSETS = ("dialogues", "moshi_shards")
dialogue_batch = dg.DynamicPartitionsDefinition(name=DIALOGUE_BATCH)
