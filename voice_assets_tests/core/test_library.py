"""The library is given values: it loads no settings, installs no signal handlers and reads no environment variables."""

import ast
from pathlib import Path

import voice_core

ROOT = Path(voice_core.__file__).parent
# What a module does of this, and why.
ALLOWED = {
    ("compute/worker_signals.py", "signal.signal"): "worker processes that the library starts itself",
    ("tts/indextts2/package.py", "os.environ"): "gives HF_HUB_CACHE to the package indextts, which reads it",
    ("synthesis/process_workers.py", "os.environ"): "gives worker processes their number of threads",
    ("publish/hub.py", "os.environ"): "HF_ENDPOINT, as huggingface_hub reads it",
    ("redaction.py", "os.environ"): "removes the secrets that the environment holds from what is shown",
    ("storage/config.py", "os.environ"): "AWS_ENDPOINT_URL and AWS_REGION, as the S3 client reads them",
}
FORBIDDEN = {
    "Settings.load",
    "signal.signal",
    "signal.setitimer",
    "signal.alarm",
    "signal.pthread_sigmask",
    "signal.siginterrupt",
    "signal.set_wakeup_fd",
    "os.environ",
    "os.environb",
    "os.getenv",
    "os.putenv",
}


def _uses(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    found = {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{item.name}" for item in node.names}
    return found & FORBIDDEN


def test_the_library_loads_no_settings_handles_no_signals_and_reads_no_environment() -> None:
    paths = [path for path in ROOT.rglob("*.py") if path.parent != ROOT / "settings"]
    found = {(path.relative_to(ROOT).as_posix(), use) for path in paths for use in _uses(path)}
    assert found == ALLOWED.keys()
