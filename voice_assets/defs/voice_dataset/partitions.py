"""One partition a batch of a channel's recordings; a batch is assigned once and never taken away."""

import dagster as dg

NAME = "channel_batch"
PARTITION = "dagster/partition"  # tags by which Dagster knows the batches of a run
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
channel_batch = dg.DynamicPartitionsDefinition(name=NAME)
