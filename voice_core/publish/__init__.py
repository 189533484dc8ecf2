"""Publishing a finished dataset to a Hugging Face hub, and taking it back from there."""
