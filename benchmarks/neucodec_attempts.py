"""What was tried to make NeuCodec faster, with what was expected and what came of it."""

ATTEMPTS: list[dict[str, str]] = []
