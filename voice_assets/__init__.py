"""The asset graph. Empty on purpose: importing a part must not load Dagster."""
