"""Metadata of materialisations and assets in the Dagster UI: numbers, tables, plots, columns, and check results."""

import base64
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import dagster as dg

from voice_core.corpus.dataset.column_descriptions import COLUMN_DESCRIPTIONS
from voice_core.corpus.dataset.plots import plot_durations, plot_rejections
from voice_core.corpus.dataset.summary import Summary
from voice_core.stages.checks import Check, CheckOutcome

if TYPE_CHECKING:
    import pyarrow as pa

Metadata = dict[str, Any]


def check_results(outcomes: Iterable[CheckOutcome]) -> list[dg.AssetCheckResult]:
    """Dagster's form of the outcomes of checks."""
    return [
        dg.AssetCheckResult(
            check_name=outcome.name,
            passed=outcome.passed,
            severity=dg.AssetCheckSeverity.WARN if outcome.warning else dg.AssetCheckSeverity.ERROR,
            description=outcome.message,
            metadata=outcome.figures,
        )
        for outcome in outcomes
    ]


def check_specs(asset: str, checks: Iterable[Check[...]]) -> list[dg.AssetCheckSpec]:
    """Dagster's form of the declarations of an asset's checks."""
    return [
        dg.AssetCheckSpec(item.name, asset=asset, blocking=item.blocking, description=item.description)
        for item in checks
    ]


def column_schema(schema: "pa.Schema") -> Metadata:
    """The columns of an Arrow schema, as the UI shows them on an asset."""
    columns = [dg.TableColumn(column.name, str(column.type), COLUMN_DESCRIPTIONS.get(column.name)) for column in schema]
    return {"dagster/column_schema": dg.TableSchema(columns=columns)}


def picture(png: bytes, alt: str) -> dg.MetadataValue:
    """A PNG image, embedded in Markdown."""
    return dg.MetadataValue.md(f"![{alt}](data:image/png;base64,{base64.b64encode(png).decode()})")


def summary_metadata(summary: Summary) -> Metadata:
    """Totals, hours, rejects by reason, and the plots of a summary."""
    rows = [
        dg.TableRecord(
            {"stage": step.stage, "reason": step.reason, "rows": step.rows, "seconds": round(step.seconds, 3)}
        )
        for step in summary.funnel
    ]
    metadata: Metadata = {
        **summary.totals,
        "hours_in": round(summary.total.hours, 4),
        "hours_kept": round(summary.kept.hours, 4),
        "hours_rejected": round(summary.rejected.hours, 4),
        "dagster/row_count": summary.kept.rows,
        "durations": picture(plot_durations(summary), "Duration of kept segments"),
        "funnel": picture(plot_rejections(summary), "Rejected audio by reason"),
    }
    if rows:
        metadata["rejected_by_reason"] = dg.MetadataValue.table(rows)
    return metadata


def speed_metadata(audio_sec: float, wall_sec: float) -> Metadata:
    """Wall time, and speed as a multiple of real time if there was audio to process."""
    metadata: Metadata = {"wall_sec": round(wall_sec, 2)}
    if audio_sec > 0:
        metadata["times_real_time"] = round(audio_sec / wall_sec, 1)
    return metadata
