"""Things to listen to: cards with audio in them, for the listening page and for the Dagster UI."""
