"""One partition a batch of dialogues; a dialogue stays in the batch that it was once dealt to."""

import dagster as dg

NAME = "dialogue_batch"
ASSETS = ("dialogues", "moshi_shards")
dialogue_batch = dg.DynamicPartitionsDefinition(name=NAME)
