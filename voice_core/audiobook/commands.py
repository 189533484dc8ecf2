"""The commands that messages name. Pasted into a shell, they work for every book that is built."""

import shlex
from pathlib import PurePath


def build_command(book: object, *, verify: bool = False) -> str:
    """The command that brings a book up to date; with `verify`, corrupt files are made again.

    >>> build_command("Emma (1815)", verify=True)
    "voice audiobook build 'Emma (1815)' --verify"
    """
    return f"voice audiobook build {shlex.quote(str(book))}{' --verify' if verify else ''}"


def check_command(book: object) -> str:
    """The command that checks a book and lists its exceptions."""
    return f"voice audiobook check {shlex.quote(str(book))}"


def speak_command(file_id: str, json_name: str) -> str:
    """The command that speaks a file of a pipeline.json, in the folder of that file.

    >>> speak_command("my book", "pipeline.json")
    "voice audiobook speak --file_id 'my book' --json_path pipeline.json"
    """
    return f"voice audiobook speak --file_id {shlex.quote(file_id)} --json_path {shlex.quote(PurePath(json_name).name)}"
