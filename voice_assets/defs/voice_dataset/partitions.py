"""One partition a batch of a channel's recordings; a batch is assigned once and never taken away."""

import dagster as dg

NAME = "channel_batch"
channel_batch = dg.DynamicPartitionsDefinition(name=NAME)
