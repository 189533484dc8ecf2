"""A long measurement in sections: each is written down as soon as it is made, and one that fails costs only itself."""

import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class Sections:
    """What was measured so far, by name. `path` is rewritten after each section, so that a kill loses only the last."""

    def __init__(self, path: Path | None, limit_sec: float) -> None:
        self.found: dict[str, Any] = {}
        self.failed: dict[str, str] = {}
        self._path, self._limit_sec, self._started = path, limit_sec, time.monotonic()

    @property
    def elapsed_sec(self) -> float:
        return time.monotonic() - self._started

    def run(self, name: str, call: Callable[[], T], *, needs_sec: float = 0.0) -> T | None:
        """Measure a section and keep it. None where it failed, or where `needs_sec` are no longer left."""
        if self.elapsed_sec + needs_sec > self._limit_sec:
            self.failed[name] = f"not begun: {self.elapsed_sec:.0f} s had passed"
            self._say(f"{name}: {self.failed[name]}")
            return None
        self._say(name)
        try:
            value = call()
        except Exception as error:  # noqa: BLE001 - whatever it is, the other sections are worth having
            self.failed[name] = traceback.format_exc()
            self._say(f"{name} failed: {type(error).__name__}: {error}")
            value = None
        else:
            self.found[name] = value
        self._write()
        return value

    def _say(self, what: str) -> None:
        print(f"[{self.elapsed_sec:5.0f} s] {what}", flush=True)

    def _write(self) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"unfinished": True, **self.found, "failed": self.failed}, indent=1, default=str)
        self._path.write_text(text + "\n", encoding="utf-8")
