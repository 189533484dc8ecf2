"""The messages of the commits that are made at the hub."""

from voice_core.publish.difference import Difference


def publish_commit_message(dataset: str, difference: Difference) -> str:
    """The message of the commit that publishes a difference, such as "voice: 2 added, 1 deleted"."""
    counts = {"added": difference.added, "changed": difference.changed, "deleted": difference.deleted}
    return f"{dataset}: " + ", ".join(f"{len(items)} {verb}" for verb, items in counts.items() if items)


def squash_commit_message(dataset: str) -> str:
    """The message of the commit that replaces the history of a branch."""
    return f"{dataset}: history removed"
