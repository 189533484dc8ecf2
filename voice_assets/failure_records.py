"""What failed, where, why and when: one line of JSON a failed run, in `failures.jsonl` under DAGSTER_HOME."""

import dataclasses
import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
from filelock import FileLock

from voice_assets.defs.voice_dataset.multi_partition import FAILED_BATCHES
from voice_assets.run_ownership import HOST_TAG
from voice_core.layout import partition_flags
from voice_core.redaction import redact
from voice_core.settings import Settings
from voice_core.storage.local_files import write_file

FAILURES_FILE = "failures.jsonl"
LOCK_FILE = ".failures.lock"
_log = logging.getLogger(__name__)
_MAX_ERROR_LINES = 6  # of an error's message
_MAX_RECORDS = 5_000  # records that the file may hold before the oldest go


@dataclass(frozen=True, slots=True)
class AssetFailure:
    """One asset of one batch that was not built, or a step without either. `error` begins with the error's type."""

    asset: str
    partition: str
    error: str


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """A failed run. `when` is in UTC, ISO 8601; `host` is where it ran, as far as the run came to say so."""

    when: str
    run_id: str
    job: str
    host: str
    troubles: tuple[AssetFailure, ...]
    retry: str

    def to_line(self) -> str:
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def from_line(cls, line: str) -> "FailureRecord":
        value = json.loads(line)
        troubles = tuple(AssetFailure(**item) for item in value.pop("troubles"))
        return cls(**value, troubles=troubles)


def build_failure_record(
    instance: dg.DagsterInstance, run: dg.DagsterRun, steps: Sequence[dg.DagsterEvent], message: str, settings: Settings
) -> FailureRecord:
    """The record of a failed run, from its events. `message` is for a run that died outside of any step."""
    fresh = instance.get_run_by_id(run.run_id) or run
    troubles = tuple(_redact(item, settings) for event in steps for item in _iter_step_failures(instance, fresh, event))
    if not troubles:
        troubles = (_redact(AssetFailure("", fresh.tags.get("dagster/partition", ""), message), settings),)
    batches = sorted({item.partition for item in troubles if item.partition})
    retry = f"voice build{partition_flags(batches)}"
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return FailureRecord(when, fresh.run_id, fresh.job_name, fresh.tags.get(HOST_TAG, ""), troubles, retry)


def _iter_step_failures(
    instance: dg.DagsterInstance, run: dg.DagsterRun, event: dg.DagsterEvent
) -> Iterator[AssetFailure]:
    data = event.step_failure_data
    reported = data.user_failure_data.metadata.get(FAILED_BATCHES) if data.user_failure_data else None
    if reported is not None and isinstance(reported.value, dict):
        for key, trouble in reported.value.items():
            asset, _, error = str(trouble).partition(": ")
            yield AssetFailure(asset, key, error)
        return
    step = event.step_key or ""
    partition = run.tags.get("dagster/partition", "")
    yield AssetFailure(_find_unbuilt_asset(instance, run, step), partition, _join_error_messages(data.error))


def _find_unbuilt_asset(instance: dg.DagsterInstance, run: dg.DagsterRun, step: str) -> str:
    """The first asset of a step that it did not come to; the step's name where it was to build none."""
    kinds = {dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED, dg.DagsterEventType.ASSET_MATERIALIZATION}
    planned: list[str] = []
    made: set[str] = set()
    for record in instance.get_records_for_run(run.run_id, of_type=kinds).records:
        event = record.event_log_entry.dagster_event
        if event is None or event.asset_key is None or (event.step_key or step) != step:
            continue
        name = event.asset_key.to_user_string()
        if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION:
            made.add(name)
        else:
            planned.append(name)
    return next((name for name in planned if name not in made), planned[-1] if planned else step)


def _join_error_messages(error: "dg.SerializableErrorInfo | None") -> str:
    """The messages of an error and its causes, the innermost first, without stack traces."""
    messages: list[str] = []
    while error is not None:
        messages.insert(0, error.message.strip())
        error = error.cause
    return "\n".join(dict.fromkeys(messages)) or "no message"


def _redact(trouble: AssetFailure, settings: Settings) -> AssetFailure:
    """Without secrets and without end."""
    known = [settings.s3.secret_access_key, settings.s3.session_token]
    secrets = [item.get_secret_value() for item in known]
    secrets += [os.environ.get(name, "") for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")]
    lines = redact(trouble.error, *secrets).strip().splitlines()
    return dataclasses.replace(trouble, error="\n".join(line[:400] for line in lines[:_MAX_ERROR_LINES]))


def write_record(folder: Path, record: FailureRecord) -> None:
    path = folder / FAILURES_FILE
    # Runs that fail at the same time lose no record.
    with FileLock(folder / LOCK_FILE), path.open("a+b") as file:
        file.write(f"{record.to_line()}\n".encode())
        file.flush()
        file.seek(0)
        lines = file.read().splitlines(keepends=True)
        if len(lines) > _MAX_RECORDS:
            write_file(path, b"".join(lines[-_MAX_RECORDS // 2 :]))


def read_records(folder: Path) -> list[FailureRecord]:
    """All records, the oldest first; damaged lines are left out."""
    path = folder / FAILURES_FILE
    if not path.is_file():
        return []
    records: list[FailureRecord] = []
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
        try:
            records += [FailureRecord.from_line(line)] if line.strip() else []
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("%s, line %d is damaged and is left out: %s", path, number, error)
    return records


def is_resolved(instance: dg.DagsterInstance, record: FailureRecord, trouble: AssetFailure) -> bool:
    """Whether the asset of that batch was built since."""
    if not trouble.asset:
        return False
    wanted = dg.AssetRecordsFilter(
        asset_key=dg.AssetKey(trouble.asset),
        asset_partitions=[trouble.partition] if trouble.partition else None,
        after_timestamp=datetime.fromisoformat(record.when).timestamp(),
    )
    return bool(instance.fetch_materializations(wanted, limit=1).records)
