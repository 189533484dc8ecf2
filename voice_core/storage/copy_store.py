"""Mirror one store to another, many objects at a time.

Commit records (manifests, dataset.json, batch files) are copied after the objects that they list, and not at all if one
of those failed: a reader of the destination never finds a manifest whose files are missing.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from voice_core.compute import progress
from voice_core.compute.concurrency import MemoryBudget, map_concurrently
from voice_core.fingerprint import sha256
from voice_core.storage.copy_plan import (
    CopyFailure,
    CopyOptions,
    CopyPlan,
    CopyStep,
    commit_scope,
    copy_order,
    make_plan,
    md5_from_etag,
    parent_folders,
    refuse_overlap,
)
from voice_core.storage.copy_record import CopiedObject, CopyRecord
from voice_core.storage.scratch import Scratch
from voice_core.storage.store import ObjectInfo, ObjectNotFoundError, Store, StoreError

MAX_IN_MEMORY_BYTES = 32 << 20  # larger objects are copied through a file
_MEMORY_BYTES = 256 << 20  # of all objects in memory at once
_MAX_FAILURES_IN_A_ROW = 100  # the cause is then not in single objects


@dataclass(slots=True)
class CopyReport:
    """The result of a copy. `bodies_read` counts objects of the source that were read."""

    plan: CopyPlan
    copied: int = 0
    copied_bytes: int = 0
    identical: int = 0
    bodies_read: int = 0
    deleted: int = 0
    deletions_skipped: int = 0
    folder_markers: int = 0
    failures: list[CopyFailure] = field(default_factory=list)


def plan_copy(source: Store, target: Store, options: CopyOptions) -> tuple[CopyPlan, CopyRecord]:
    """List and compare both stores. Raises `ValueError` if one is inside of the other."""
    refuse_overlap(source.url, target.url)
    record = CopyRecord(target, keep=options.record)
    return make_plan(source.url, source.listing(), target.listing(), record.find, options), record


def copy(source: Store, target: Store, options: CopyOptions, scratch: Scratch | None = None) -> CopyReport:
    """Mirror `source` to `target`. Failures of single objects are in the report.

    `scratch` is for large objects that go to a remote store; without it the system's temporary folder is used.
    """
    return _Copier(source, target, options, scratch).run()


@dataclass(frozen=True, slots=True)
class _CopyResult:
    step: CopyStep
    copied: bool = False
    bodies_read: int = 0
    known: CopiedObject | None = None
    failure: str = ""
    folder_mark: bool = False


class _Copier:
    def __init__(self, source: Store, target: Store, options: CopyOptions, scratch: Scratch | None) -> None:
        self._source, self._target, self._options, self._scratch = source, target, options, scratch
        plan, self._record = plan_copy(source, target, options)
        target.remove_partial_files()
        self._report = CopyReport(plan, failures=list(plan.invalid_keys), folder_markers=plan.folder_markers)
        self._memory = MemoryBudget(_MEMORY_BYTES)
        self._failed_in_a_row = 0

    def run(self) -> CopyReport:
        report = self._report
        report.identical = report.plan.same
        total_mb = sum(step.source.size for step in report.plan.steps) / 1e6
        try:
            todo = self._delete_stale_commit_records(report.plan.steps)
            with (
                progress.track("objects", len(todo), "objects") as objects,
                progress.track("data", total_mb, "MB") as mb,
            ):
                for level in sorted({copy_order(step.key) for step in todo}):
                    failed = parent_folders(item.key for item in report.failures)
                    ready, held = _split_by_failed_folders(
                        [step for step in todo if copy_order(step.key) == level], failed
                    )
                    report.failures += [
                        CopyFailure(step.key, "not copied: objects that it lists failed") for step in held
                    ]
                    for done in map_concurrently(self._copy_one, ready, self._options.jobs):
                        self._record_result(done)
                        objects.advance()
                        mb.advance(done.step.source.size / 1e6)
            self._delete()
        finally:
            self._record.flush()
        self._record.close()
        return report

    def _record_result(self, done: _CopyResult) -> None:
        report, key = self._report, done.step.key
        report.bodies_read += done.bodies_read
        if done.failure:
            report.failures.append(CopyFailure(key, done.failure))
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= _MAX_FAILURES_IN_A_ROW:
                raise StoreError(
                    f"{_MAX_FAILURES_IN_A_ROW} objects failed one after another; the last error: {done.failure}"
                )
            return
        self._failed_in_a_row = 0
        if done.known is not None:
            self._record.note(key, done.known)
        if done.folder_mark:
            report.folder_markers += 1
        elif done.copied:
            report.copied += 1
            report.copied_bytes += done.step.source.size
        else:
            report.identical += 1

    def _delete_stale_commit_records(self, todo: Sequence[CopyStep]) -> list[CopyStep]:
        """Remove commit records at the destination that list files which are about to change."""
        changing = parent_folders(step.key for step in todo if step.target is not None and copy_order(step.key) == 0)
        result = []
        for step in todo:
            if step.target is not None and commit_scope(step.key) in changing and self._differs(step):
                self._target.delete([step.key])
                step = CopyStep("new", step.source)
            result.append(step)
        return result

    def _differs(self, step: CopyStep) -> bool:
        if step.action == "replace":
            return True
        try:
            return self._match_content(step, self._hash(self._source, step.source)) is None
        except StoreError:
            return False  # it is kept, and the error is raised again when it is copied

    def _delete(self) -> None:
        report = self._report
        if report.failures:
            report.deletions_skipped = len(report.plan.deletions)
            return
        for key in report.plan.deletions:
            self._record.forget(key)
        ranks = {copy_order(key) for key in report.plan.deletions}
        for level in sorted(ranks, reverse=True):
            self._target.delete(key for key in report.plan.deletions if copy_order(key) == level)
        report.deleted = len(report.plan.deletions)

    def _copy_one(self, step: CopyStep) -> _CopyResult:
        try:
            return self._copy_in_memory(step) if step.source.size <= MAX_IN_MEMORY_BYTES else self._copy_large(step)
        except ObjectNotFoundError as error:
            # A listing shows the empty object "folder/" as "folder", which does not exist.
            return _CopyResult(
                step, failure="" if step.source.size == 0 else str(error), folder_mark=step.source.size == 0
            )
        except StoreError as error:
            return _CopyResult(step, failure=str(error))

    def _copy_in_memory(self, step: CopyStep) -> _CopyResult:
        """Compare and copy with one read of the source."""
        with self._memory.reserve(step.source.size):
            data = self._source.get(step.key)
            info = self._check_size(step.source, len(data))
            if copy_order(step.key) and not self._is_unchanged(step.source):
                raise StoreError(f"{step.key} was replaced while the files that it lists were copied; copy again")
            digest = sha256(data)
            if step.action == "compare" and (known := self._match_content(step, digest, data)):
                return _CopyResult(step, bodies_read=1, known=known)
            stored = self._target.put(step.key, data, durable=copy_order(step.key) > 0)
            if not _is_md5_of(stored, data):
                self._verify_copy(info, stored, lambda: sha256(self._target.get(step.key)), digest)
        return _CopyResult(step, True, 1, self._record_entry(info, stored, digest))

    def _copy_large(self, step: CopyStep) -> _CopyResult:
        if step.action == "compare" and (known := self._match_content(step, self._source.hash(step.key))):
            return _CopyResult(step, bodies_read=1, known=known)
        return self._copy_via_file(step)

    def _match_content(self, step: CopyStep, digest: str, data: bytes = b"") -> CopiedObject | None:
        """The record entry if the destination has the content with this SHA-256 `digest`; else None."""
        assert step.target is not None
        if self._options.verify:
            there = self._hash(self._target, step.target)
        elif _is_md5_of(step.target, data):
            there = digest
        else:
            there = step.known.sha256 if step.known is not None else self._hash(self._target, step.target)
        return self._record_entry(step.source, step.target, digest) if there == digest else None

    def _record_entry(self, source: ObjectInfo, target: ObjectInfo, digest: str) -> CopiedObject:
        return CopiedObject(self._source.url, source.identity, target.identity, digest)

    def _hash(self, store: Store, info: ObjectInfo) -> str:
        return store.hash(info.key) if info.size > MAX_IN_MEMORY_BYTES else sha256(store.get(info.key))

    def _copy_via_file(self, step: CopyStep) -> _CopyResult:
        with self._open_target_file(step) as path:
            digest = self._source.download(step.key, path)
            info = self._check_size(step.source, path.stat().st_size)
        stored = self._target.head(step.key)
        if stored is None:
            raise StoreError(f"put {self._target.url}/{step.key}: another process removed it; copy again")
        self._verify_copy(info, stored, lambda: self._target.hash(step.key), digest)
        return _CopyResult(step, True, 1, self._record_entry(info, stored, digest))

    @contextmanager
    def _open_target_file(self, step: CopyStep) -> Iterator[Path]:
        """A path to write an object to, which is put at the end: a part file at the destination, or a scratch file."""
        if self._target.local_root is not None or self._scratch is None:
            with self._target.create(step.key) as path:
                yield path
            return
        with self._scratch.reserve(step.source.size, step.key) as folder:
            yield folder / "object"
            self._target.upload(step.key, folder / "object")

    def _is_unchanged(self, info: ObjectInfo) -> bool:
        now = self._source.head(info.key)
        return now is not None and now.identity == info.identity

    def _check_size(self, info: ObjectInfo, size: int) -> ObjectInfo:
        """The metadata of the object that was read, which may be newer than the listing."""
        now = info if info.size == size else self._source.head(info.key)
        if now is None or now.size != size:
            raise StoreError(f"get {self._source.url}/{info.key}: it was replaced while it was read; copy again")
        return now

    def _verify_copy(self, source: ObjectInfo, stored: ObjectInfo, read: Callable[[], str], digest: str) -> None:
        if read() == digest:
            return
        where = f"put {self._target.url}/{stored.key}"
        now = self._target.head(stored.key)
        if now is None or now.identity != stored.identity or not self._is_unchanged(source):
            raise StoreError(f"{where}: another process replaced it; copy again")
        self._target.delete([stored.key])
        raise StoreError(f"{where}: the stored content differs from what was sent; the object was removed")


def _is_md5_of(info: ObjectInfo, data: bytes) -> bool:
    """Whether the etag is the MD5 of these bytes. Not every store uses MD5."""
    return bool(md5_from_etag(info)) and md5_from_etag(info) == hashlib.md5(data, usedforsecurity=False).hexdigest()


def _split_by_failed_folders(steps: Sequence[CopyStep], failed: set[str]) -> tuple[list[CopyStep], list[CopyStep]]:
    """Steps that can be copied, and commit records of folders in which an object failed."""
    held = [step for step in steps if commit_scope(step.key) in failed]
    return [step for step in steps if commit_scope(step.key) not in failed], held
