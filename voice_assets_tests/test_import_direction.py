"""Imports go one way: from pipelines down to what they are made of, and from Dagster to the library."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LAYERS: list[set[str]] = [
    {"voice_assets"},
    {"resources"},
    {"voice_core.audit", "voice_core.report", "voice_core.demo"},
    {"voice_core.publish", "voice_core.moshi", "voice_core.audiobook"},
    {"voice_core.corpus.lineage", "voice_core.corpus.retention", "voice_core.corpus.forget"},
    {"voice_core.corpus.plan"},
    {"voice_core.corpus.status", "voice_core.corpus.checks", "voice_core.corpus.integrity", "voice_core.corpus.adopt"},
    {"voice_core.corpus.dataset"},
    {"voice_core.corpus.encode"},
    {"voice_core.corpus.segment"},
    {"voice_core.corpus.ingest"},
    {"voice_core.corpus.accounting", "voice_core.corpus.manifest_commit", "voice_core.corpus.presence"},
    {"voice_core.corpus.evicted"},
    {"voice_core.corpus.manifest"},
    {"voice_core.corpus.names", "voice_core.corpus.labels"},
    {"voice_core.stages", "voice_core.synthesis", "voice_core.recognition"},
    {"voice_core.codecs", "voice_core.tts"},
    {"voice_core.storage"},
    {"voice_core.compute", "voice_core.audio"},
    {"voice_core.settings"},
    {
        "voice_core.redaction",
        "voice_core.layout",
        "voice_core.fingerprint",
        "voice_core.language",
        "voice_core.registry",
        "voice_core.error_text",
    },
]
"""Packages and modules; each imports only from layers below its own."""
RANK = {name: -rank for rank, layer in enumerate(LAYERS) for name in layer}
FILES = [path for top in ("voice_core", "voice_assets", "resources") for path in sorted((ROOT / top).rglob("*.py"))]


def _unit(module: str) -> str:
    """The package or module of LAYERS that a module belongs to."""
    return next((name for name in sorted(RANK, key=len, reverse=True) if f"{module}.".startswith(f"{name}.")), "")


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_a_module_imports_only_from_packages_below_its_own(path: Path) -> None:
    module = _module(path)
    own = _unit(module)
    if not own:
        assert not [name for name in _imported(path) if _unit(name)], f"{module} belongs to no layer"
        return
    wrong = [name for name in _imported(path) if (other := _unit(name)) and other != own and RANK[other] >= RANK[own]]
    assert not wrong, f"{module} ({own}) imports {wrong}"


def test_every_package_has_its_layer() -> None:
    packages = {path.name for path in (ROOT / "voice_core").iterdir() if (path / "__init__.py").is_file()}
    corpus = {path.name for path in (ROOT / "voice_core/corpus").iterdir() if (path / "__init__.py").is_file()}
    known = {f"voice_core.{name}" for name in packages - {"corpus"}} | {f"voice_core.corpus.{name}" for name in corpus}
    assert known <= RANK.keys()


def test_the_library_imports_neither_dagster_nor_a_web_framework() -> None:
    for path in (path for path in FILES if path.is_relative_to(ROOT / "voice_core")):
        foreign = [name for name in _imported(path) if name.split(".")[0] in {"dagster", "fastapi", "voice_assets"}]
        assert not foreign, f"{path} imports {foreign}"
