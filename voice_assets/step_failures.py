"""What Dagster's events say about a failed step: which assets of which batches were not built, and why."""

from collections.abc import Iterator

import dagster as dg

from voice_core.error_text import drop_class_name

FAILED_BATCHES = "failed_batches"  # metadata of a step's failure: batch → "asset: error"


def iter_error_causes(error: "dg.SerializableErrorInfo | None") -> Iterator["dg.SerializableErrorInfo"]:
    """An error that Dagster recorded, then what it was raised from, and so on: the innermost is last."""
    while error is not None:
        yield error
        error = error.cause


def describe_error(error: "dg.SerializableErrorInfo | None") -> str:
    """The messages of an error and its causes, the innermost first, without stack traces."""
    messages = [drop_class_name(item.message.strip()) for item in iter_error_causes(error)]
    return "\n".join(dict.fromkeys(reversed(messages))) or "no message"


def describe_root_cause(error: "dg.SerializableErrorInfo | None") -> str:
    """The message of the error that a step raised, without Dagster's own error around it."""
    causes = list(iter_error_causes(error))
    return drop_class_name(causes[min(1, len(causes) - 1)].message.strip()) if causes else "no message"


def read_failed_batches(event: dg.DagsterEvent) -> dict[str, str]:
    """The errors of a step over many batches, by batch; empty for a step over one."""
    data = event.step_failure_data
    reported = data.user_failure_data.metadata.get(FAILED_BATCHES) if data.user_failure_data else None
    if reported is None or not isinstance(reported.value, dict):
        return {}
    return {str(batch): str(error) for batch, error in reported.value.items()}
