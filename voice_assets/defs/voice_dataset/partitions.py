"""The partitions of the voice dataset: one per batch of a channel's recordings. A batch is never removed."""

import dagster as dg

CHANNEL_BATCH = "channel_batch"
channel_batch = dg.DynamicPartitionsDefinition(name=CHANNEL_BATCH)
