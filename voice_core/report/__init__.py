"""The listening page and the notebooks of the Dagster UI: cards with audio."""
