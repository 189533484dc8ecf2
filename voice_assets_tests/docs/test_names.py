"""Every command, option, setting, file, link and import that the documentation names exists."""

import ast
import importlib
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from voice_assets.cli import app
from voice_assets_tests.docs.pages import DOCS, EXTENDING, PAGES, ROOT, anchors, blocks, code_spans, links, name, read
from voice_core.settings import ENV_PREFIX, Settings, SettingsGroup

OWN = ("voice_core", "voice_assets", "resources", "benchmarks", "voice_assets_tests")
GROUPS = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, SettingsGroup)
}
FOREIGN_OPTIONS = {"--path-prefix", "--quick", "--runs", "--check", "--only"}  # of Dagster, benchmarks, soak

every_page = pytest.mark.parametrize("page", PAGES, ids=name)


def commands() -> dict[tuple[str, ...], Any]:
    """Every command by its words."""
    found: dict[tuple[str, ...], Any] = {}

    def walk(command: Any, path: tuple[str, ...]) -> None:
        found[path] = command
        for word, child in getattr(command, "commands", {}).items():
            walk(child, (*path, word))

    walk(get_command(app), ("voice",))
    return found


def options(command: Any) -> set[str]:
    known = {"--help"} | {item for parameter in command.params for item in (*parameter.opts, *parameter.secondary_opts)}
    return {item for item in known if item.startswith("-")}


def command_lines(page: Path) -> Iterator[list[str]]:
    """Each call of a program in the page, as words; variables before it are left out."""
    lines = [line for block in blocks(page, "sh", "console") for line in block.code.splitlines()]
    for line in [*lines, *code_spans(page)]:
        plain = re.split(r"\s#|<<|&&|\|", line.replace("…", ""))[0].strip()
        plain = re.sub(r"""^(?:(?:export )?[A-Z][A-Z0-9_]*=(?:'[^']*'|"[^"]*"|\S*) +)+""", "", plain)
        try:
            words = shlex.split(plain)
        except ValueError:
            continue
        if words and re.fullmatch(r"[\w./-]+", words[0]):
            yield [words[0].rsplit("/", 1)[-1], *words[1:]]


@every_page
def test_every_command_and_option_exists(page: Path) -> None:
    known = commands()
    for words in (words for words in command_lines(page) if words[0] == "voice"):
        path = ("voice",)
        while len(path) < len(words) and (*path, words[len(path)]) in known:
            path += (words[len(path)],)
        rest = words[len(path) :]
        takes_words = any(item.param_type_name == "argument" for item in known[path].params)
        literal = [word for word in rest if not word.startswith(("-", "[")) and not word.isupper()]
        assert path != ("voice",) or not literal, f"no such command: {' '.join(words)}"
        assert takes_words or not getattr(known[path], "commands", {}) or not literal, f"no such command: {words}"
        wrong = [
            word for word in rest if re.match(r"--?[a-z]", word) and word.split("=")[0] not in options(known[path])
        ]
        assert not wrong, f"{' '.join(words)}: {wrong}"


@every_page
def test_an_option_in_the_text_is_one_of_some_command(page: Path) -> None:
    known = set().union(*(options(command) for command in commands().values())) | FOREIGN_OPTIONS
    named = {span.split()[0].split("=")[0] for span in code_spans(page) if re.match(r"--[a-z]", span)}
    assert named <= known


@every_page
def test_every_setting_exists(page: Path) -> None:
    known = {f"{ENV_PREFIX}CONFIG"} | {f"{ENV_PREFIX}{setting}".upper() for setting in Settings.model_fields}
    for group, model in GROUPS.items():
        known |= {f"{ENV_PREFIX}{group}__{setting}".upper() for setting in ("", *model.model_fields)}
    assert sorted(set(re.findall(rf"\b{ENV_PREFIX}[A-Z0-9_]+", read(page))) - known) == []
    dotted = [match.groups() for span in code_spans(page) if (match := re.fullmatch(r"([a-z0-9]+)\.([a-z_]+)", span))]
    for group, setting in dotted:
        if group in GROUPS and setting not in ("toml", "json", "py"):
            assert setting in GROUPS[group].model_fields, f"{group}.{setting}"


@every_page
def test_settings_files_are_valid(page: Path) -> None:
    for block in blocks(page, "toml"):
        Settings(**tomllib.loads(block.code))


@pytest.mark.parametrize("page", [*PAGES, EXTENDING, ROOT / "CHANGELOG.md"], ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), f"{target} in {name(page)}"
        assert not anchor or anchor in anchors(place), f"{target} in {name(page)}"


@every_page
def test_every_file_and_module_exists(page: Path) -> None:
    for span in code_spans(page):
        if re.fullmatch(rf"({'|'.join(OWN)}|docs|dagster_home)/[\w./-]*", span):
            assert (ROOT / span).exists(), span
        if re.fullmatch(rf"({'|'.join(OWN)})(\.\w+)+", span):
            assert importlib.util.find_spec(span) is not None, span


@every_page
def test_python_in_a_page_is_valid_and_its_imports_exist(page: Path) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block.code)):
            if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in OWN:
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)


@every_page
def test_modules_targets_and_jobs_of_other_programs_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    known = set(code_spans(DOCS / "reference" / "assets.md"))
    for words in command_lines(page):
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= targets, words
        if words[:2] == ["python", "-m"] and words[2].split(".")[0] in OWN:
            assert importlib.util.find_spec(words[2]) is not None, words
        if words[:3] == ["dg", "launch", "--job"]:
            assert words[3] in known, words
        if words[:3] == ["dg", "launch", "--assets"]:
            assert set(words[3].split(",")) <= known, words


def test_sensors_and_schedules_of_the_automation_exist() -> None:
    known = set(code_spans(DOCS / "reference" / "assets.md"))
    rows = re.findall(r"^\| `(\w+)` \| (?:sensor|automation|schedule)", read(DOCS / "how-to" / "automation.md"), re.M)
    assert len(rows) >= 5
    assert set(rows) <= known


def test_messages_of_the_program_name_pages_that_exist() -> None:
    files = [path for top in OWN for path in (ROOT / top).rglob("*.py")]
    files += [ROOT / "Makefile", *ROOT.glob("*.yaml"), *ROOT.glob("*.toml")]
    named = {page for file in files for page in re.findall(r"\bdocs/[\w/-]+\.md\b", file.read_text("utf-8"))}
    assert named
    assert [page for page in sorted(named) if not (ROOT / page).is_file()] == []
