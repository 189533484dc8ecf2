"""The asset graph, loaded by Dagster: every module here with assets, jobs, sensors, schedules or `@dg.definitions`."""
