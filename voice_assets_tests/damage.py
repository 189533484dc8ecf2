"""Ways in which a small file goes bad, and what must come of it."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from voice_assets_tests.files import files_below

DAMAGE_KINDS: Mapping[str, Callable[[bytes], bytes | None]] = {
    "truncated": lambda data: data[: len(data) // 2],
    "emptied": lambda data: b"",
    "deleted": lambda data: None,
    "replaced by []": lambda data: b"[]",
    "replaced by {}": lambda data: b"{}",
    "replaced by noise": lambda data: bytes(range(256)) * 2,
}
COPIED = "copied beside it"


@dataclass(frozen=True, slots=True)
class DamageCase:
    """One file and what is done to it."""

    key: str
    damage: str

    @property
    def copy(self) -> str:
        """The key of the copy, as a file manager names it."""
        stem, dot, extension = self.key.rpartition(".")
        return f"{stem} (copy){dot}{extension}"

    @property
    def seen_by_audit(self) -> bool:
        """Whether an audit can name the file: of some no record says that they were there, and some may be empty."""
        unrecorded = self.key.startswith(("tombstones/", "audits/", "freed/", "moshi_voices/")) or self.key.endswith(
            (".contents.json", "/source.json")
        )
        may_be_empty = {".contents.json": "replaced by {}", ".jsonl": "emptied" if "dialogues/" in self.key else ""}
        valid = any(self.key.endswith(end) and self.damage == how for end, how in may_be_empty.items())
        return self.damage != COPIED and not valid and not (unrecorded and self.damage == "deleted")

    def apply(self, root: Path) -> None:
        path = root / self.key
        if self.damage == COPIED:
            shutil.copy(path, root / self.copy)
            return
        data = DAMAGE_KINDS[self.damage](path.read_bytes())
        if data is None:
            path.unlink()
        else:
            path.write_bytes(data)


@dataclass(frozen=True, slots=True)
class WorkRootCommands:
    """Status, build and audit of one work root; each raises what the command would print."""

    status: Callable[[], object]
    build: Callable[[], object]
    audit: Callable[[], Mapping[str, str]] | None = None  # what is wrong, by key


def find_faults(
    case: DamageCase,
    root: Path,
    commands: WorkRootCommands,
    *,
    may_fail: bool = False,
    may_change: tuple[str, ...] = (),
) -> list[str]:
    """Damage a file of a finished work root; what goes wrong then.

    Status and build succeed, and the same bytes are there in the end, but for keys that begin with one of `may_change`.
    Where `may_fail`, they may also end in an error that names the file, with all other files as they were. The audit
    finds it, unless it is a copy, and nothing once it was built.
    """
    before = files_below(root)
    case.apply(root)
    found: list[str] = []
    errors: dict[str, Exception] = {}
    if commands.audit is not None and case.seen_by_audit:
        wrong = _run("audit", commands.audit, errors)
        if isinstance(wrong, Mapping) and not any(case.key.startswith(key.rstrip("/")) for key in wrong):
            found.append(f"audit finds nothing wrong with it: {dict(wrong)}")
    _run("status", commands.status, errors)
    _run("build", commands.build, errors)
    for command, error in errors.items():
        if not may_fail or case.key not in str(error) or not isinstance(error, ValueError | LookupError | OSError):
            found.append(f"{command} ends in {type(error).__name__}: {error}")
    after = files_below(root)
    extra = {case.copy} if case.damage == COPIED else set()
    if commands.audit is not None and not errors:
        wrong = _run("audit", commands.audit, errors) or {}
        found += [f"audit ends in {error!r}" for error in errors.values()]
        found += [f"audit afterwards: {key} {what}" for key, what in dict(wrong).items()]
    ignored = {case.key} if errors else set()
    for key in sorted(before.keys() | after.keys()):
        if key in extra | ignored or key.startswith(("audits/", "locks/", *may_change)):
            continue
        if before.get(key) != after.get(key):
            change = "is gone" if key not in after else "is new" if key not in before else "has other bytes"
            found.append(f"{key} {change}")
    return found


def _run(name: str, command: Callable[[], object], errors: dict[str, Exception]) -> object:
    try:
        return command()
    except Exception as error:  # noqa: BLE001 - looked at by `faults`
        errors[name] = error
        return None
