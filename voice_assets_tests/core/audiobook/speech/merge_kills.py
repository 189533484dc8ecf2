"""Writers that merge into one pipeline.json until some of them are killed."""

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

WRITERS = 6
FOREIGN: dict[str, Any] = {
    "schema": 3,
    "phase2": {"files": {"أثير": {"text": "a — b"}}},
    "phase3": {"files": {"emma": {"chunk_paths": ["a.txt"]}}},
    "phase4": {"note": "keep", "files": {"emma": {"status": "partial"}, "persuasion": {"chunk_1": {"status": "old"}}}},
    "phase5": [1, 2.5, None],
}

_PROGRAM = """
import sys
from pathlib import Path
from voice_core.audiobook.pipeline_file import merge_results
path, writer = Path(sys.argv[1]), int(sys.argv[2])
for number in range(1, 100_000):
    key = writer * 100_000 + number
    merge_results(path, "emma", {key: {"chunk_id": f"chunk_{key}", "padding": "x" * 200}})
    print(key, flush=True)
"""


def merge_and_kill(folder: Path, seed: int, seconds: float = 0.5) -> int:
    """Let writers merge, kill them at random moments, and assert that everything that they merged is there. Returns
    how many results that are."""
    path = folder / f"pipeline-{seed}.json"
    path.write_text(json.dumps(FOREIGN, ensure_ascii=False))
    rng = random.Random(seed)
    writers = [
        subprocess.Popen([sys.executable, "-c", _PROGRAM, str(path), str(number)], stdout=subprocess.PIPE, text=True)
        for number in range(1, WRITERS + 1)
    ]
    merged: list[int] = []
    try:
        for writer in writers:
            assert writer.stdout is not None
            merged.append(int(writer.stdout.readline()))  # it has begun
        until = time.monotonic() + seconds
        for writer in rng.sample(writers, WRITERS):
            time.sleep(rng.uniform(0, max(0.0, until - time.monotonic()) / 2))
            writer.send_signal(signal.SIGKILL)
    finally:
        for writer in writers:
            writer.kill()
            out, _ = writer.communicate()
            for line in out.splitlines():
                with contextlib.suppress(ValueError):  # cut off in mid-line
                    merged.append(int(line))
    content = json.loads(path.read_text())
    entries = content["phase4"]["files"]["emma"]
    lost = [key for key in merged if f"chunk_{key}" not in entries]
    assert not lost, f"round {seed}: {len(lost)} of {len(merged)} results were lost, {lost[0]} among them"
    for name in [name for name in entries if name.startswith("chunk_")]:
        assert len(entries.pop(name)["padding"]) == 200
    assert content == FOREIGN
    assert list(content) == list(FOREIGN)
    return len(merged)
