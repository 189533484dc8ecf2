"""Mirroring one store to another, many objects at a time.

Commit records (manifests, dataset.json, batch files) are copied after everything that they list, and not at all while
something of that failed: whoever reads the destination never meets a manifest whose files are not there.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from voice_core.compute import progress
from voice_core.compute.concurrency import Budget, in_flight
from voice_core.fingerprint import sha256
from voice_core.storage.copy_plan import (
    CopyOptions,
    CopyPlan,
    Failure,
    Step,
    commit_scope,
    folders,
    make_plan,
    md5_of,
    refuse_overlap,
    tier,
)
from voice_core.storage.copy_record import CopyRecord, Known
from voice_core.storage.scratch import Scratch
from voice_core.storage.store import ObjectInfo, ObjectNotFoundError, Store, StoreError

WHOLE_BYTES = 32 << 20  # up to here an object is held in memory, above it goes through a file
_MEMORY_BYTES = 256 << 20  # of all objects that are held at once
_GIVE_UP_AFTER = 100  # failures one after another: then it is no matter of single objects


@dataclass(slots=True)
class CopyReport:
    """What a copy did. `bodies_read` counts objects of the source that were read."""

    plan: CopyPlan
    copied: int = 0
    copied_bytes: int = 0
    identical: int = 0
    bodies_read: int = 0
    deleted: int = 0
    deletions_put_off: int = 0
    folder_marks: int = 0
    failures: list[Failure] = field(default_factory=list)


def plan_copy(source: Store, target: Store, options: CopyOptions) -> tuple[CopyPlan, CopyRecord]:
    """List both sides, and compare."""
    refuse_overlap(source.url, target.url)
    record = CopyRecord(target, keep=options.record)
    return make_plan(source.url, source.listing(), target.listing(), record.find, options), record


def copy(source: Store, target: Store, options: CopyOptions, scratch: Scratch | None = None) -> CopyReport:
    """Mirror `source` to `target`. What fails for a single object ends in the report's failures.

    `scratch` is for large objects on their way to a remote store; without it they pass through the system's own place
    for temporary files.
    """
    return _Copier(source, target, options, scratch).run()


@dataclass(frozen=True, slots=True)
class _Done:
    step: Step
    copied: bool = False
    bodies_read: int = 0
    known: Known | None = None
    failure: str = ""
    folder_mark: bool = False


class _Copier:
    def __init__(self, source: Store, target: Store, options: CopyOptions, scratch: Scratch | None) -> None:
        self._source, self._target, self._options, self._scratch = source, target, options, scratch
        plan, self._record = plan_copy(source, target, options)
        target.sweep()
        self._report = CopyReport(plan, failures=list(plan.impossible), folder_marks=plan.folder_marks)
        self._memory = Budget(_MEMORY_BYTES)
        self._failed_in_a_row = 0

    def run(self) -> CopyReport:
        report = self._report
        report.identical = report.plan.same
        total_mb = sum(step.source.size for step in report.plan.steps) / 1e6
        try:
            todo = self._withdraw(report.plan.steps)
            with (
                progress.track("objects", len(todo), "objects") as objects,
                progress.track("data", total_mb, "MB") as mb,
            ):
                for level in sorted({tier(step.key) for step in todo}):
                    failed = folders(item.key for item in report.failures)
                    ready, held = _parted([step for step in todo if tier(step.key) == level], failed)
                    report.failures += [Failure(step.key, "held back: objects that it lists failed") for step in held]
                    for done in in_flight(self._one, ready, self._options.jobs):
                        self._take(done)
                        objects.advance()
                        mb.advance(done.step.source.size / 1e6)
            self._delete()
        finally:
            self._record.flush()
        self._record.close()
        return report

    def _take(self, done: _Done) -> None:
        report, key = self._report, done.step.key
        report.bodies_read += done.bodies_read
        if done.failure:
            report.failures.append(Failure(key, done.failure))
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= _GIVE_UP_AFTER:
                raise StoreError(f"{_GIVE_UP_AFTER} objects failed one after another, the last one so: {done.failure}")
            return
        self._failed_in_a_row = 0
        if done.known is not None:
            self._record.note(key, done.known)
        if done.folder_mark:
            report.folder_marks += 1
        elif done.copied:
            report.copied += 1
            report.copied_bytes += done.step.source.size
        else:
            report.identical += 1

    def _withdraw(self, todo: Sequence[Step]) -> list[Step]:
        """Remove commit records at the destination that speak of files which are about to change."""
        changing = folders(step.key for step in todo if step.target is not None and tier(step.key) == 0)
        result = []
        for step in todo:
            if step.target is not None and commit_scope(step.key) in changing and self._differs(step):
                self._target.delete([step.key])
                step = Step("new", step.source)
            result.append(step)
        return result

    def _differs(self, step: Step) -> bool:
        if step.action == "replace":
            return True
        try:
            return self._same(step, self._hash(self._source, step.source)) is None
        except StoreError:
            return False  # it stays as it is, and fails again when its turn comes

    def _delete(self) -> None:
        report = self._report
        if report.failures:
            report.deletions_put_off = len(report.plan.deletions)
            return
        for key in report.plan.deletions:
            self._record.forget(key)
        ranks = {tier(key) for key in report.plan.deletions}
        for level in sorted(ranks, reverse=True):
            self._target.delete(key for key in report.plan.deletions if tier(key) == level)
        report.deleted = len(report.plan.deletions)

    def _one(self, step: Step) -> _Done:
        try:
            return self._whole(step) if step.source.size <= WHOLE_BYTES else self._large(step)
        except ObjectNotFoundError as error:
            # A listing shows the empty object "folder/" as "folder", and there is none of that name to get.
            return _Done(step, failure="" if step.source.size == 0 else str(error), folder_mark=step.source.size == 0)
        except StoreError as error:
            return _Done(step, failure=str(error))

    def _whole(self, step: Step) -> _Done:
        """Compare and copy what is read once."""
        with self._memory.taken(step.source.size):
            data = self._source.get(step.key)
            info = self._as_read(step.source, len(data))
            if tier(step.key) and not self._is_still(step.source):
                raise StoreError(f"{step.key} was rewritten while what it lists was copied; copy again")
            digest = sha256(data)
            if step.action == "compare" and (known := self._same(step, digest, data)):
                return _Done(step, bodies_read=1, known=known)
            stored = self._target.put(step.key, data, durable=tier(step.key) > 0)
            if not _is_md5_of(stored, data):
                self._read_back(info, stored, lambda: sha256(self._target.get(step.key)), digest)
        return _Done(step, True, 1, self._known(info, stored, digest))

    def _large(self, step: Step) -> _Done:
        if step.action == "compare" and (known := self._same(step, self._source.hash(step.key))):
            return _Done(step, bodies_read=1, known=known)
        return self._through_file(step)

    def _same(self, step: Step, digest: str, data: bytes = b"") -> Known | None:
        """What is known once the source's content is, where the destination's is the same; else None."""
        assert step.target is not None
        if self._options.verify:
            there = self._hash(self._target, step.target)
        elif _is_md5_of(step.target, data):
            there = digest
        else:
            there = step.known.sha256 if step.known is not None else self._hash(self._target, step.target)
        return self._known(step.source, step.target, digest) if there == digest else None

    def _known(self, source: ObjectInfo, target: ObjectInfo, digest: str) -> Known:
        return Known(self._source.url, source.identity, target.identity, digest)

    def _hash(self, store: Store, info: ObjectInfo) -> str:
        return store.hash(info.key) if info.size > WHOLE_BYTES else sha256(store.get(info.key))

    def _through_file(self, step: Step) -> _Done:
        with self._file_for(step) as path:
            digest = self._source.download(step.key, path)
            info = self._as_read(step.source, path.stat().st_size)
        stored = self._target.head(step.key)
        if stored is None:
            raise StoreError(f"put {self._target.url}/{step.key}: another process removed it; copy again")
        self._read_back(info, stored, lambda: self._target.hash(step.key), digest)
        return _Done(step, True, 1, self._known(info, stored, digest))

    @contextmanager
    def _file_for(self, step: Step) -> Iterator[Path]:
        """A path to write an object to, which is put at the end: beside its place in a folder, or on local disk."""
        if self._target.local_root is not None or self._scratch is None:
            with self._target.create(step.key) as path:
                yield path
            return
        with self._scratch.room(step.source.size, step.key) as folder:
            yield folder / "object"
            self._target.upload(step.key, folder / "object")

    def _is_still(self, info: ObjectInfo) -> bool:
        now = self._source.head(info.key)
        return now is not None and now.identity == info.identity

    def _as_read(self, info: ObjectInfo, size: int) -> ObjectInfo:
        """What the store calls the object that was read, which may be newer than the listing."""
        now = info if info.size == size else self._source.head(info.key)
        if now is None or now.size != size:
            raise StoreError(f"get {self._source.url}/{info.key}: it was replaced while it was read; copy again")
        return now

    def _read_back(self, source: ObjectInfo, stored: ObjectInfo, read: Callable[[], str], digest: str) -> None:
        if read() == digest:
            return
        where = f"put {self._target.url}/{stored.key}"
        now = self._target.head(stored.key)
        if now is None or now.identity != stored.identity or not self._is_still(source):
            raise StoreError(f"{where}: another process replaced it; copy again")
        self._target.delete([stored.key])
        raise StoreError(f"{where}: what arrived is not what was sent; it was removed again")


def _is_md5_of(info: ObjectInfo, data: bytes) -> bool:
    """Whether the etag is the MD5 of these bytes; not every store's etag is one."""
    return bool(md5_of(info)) and md5_of(info) == hashlib.md5(data, usedforsecurity=False).hexdigest()


def _parted(steps: Sequence[Step], failed: set[str]) -> tuple[list[Step], list[Step]]:
    """Those that can be copied, and commit records of folders in which something failed."""
    held = [step for step in steps if commit_scope(step.key) in failed]
    return [step for step in steps if commit_scope(step.key) not in failed], held
