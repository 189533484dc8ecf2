"""One partition a batch of a channel's recordings; a batch is assigned once and never taken away."""

import dagster as dg

channel_batch = dg.DynamicPartitionsDefinition(name="channel_batch")
