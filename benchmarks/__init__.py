"""Ours beside the way it was done before, and beside what the machine allows, in one run."""
