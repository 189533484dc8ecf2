"""Parses dialogue files: JSON Lines to dialogues and bad lines, in constant memory.

Two forms of a line, in UTF-8:

    {"id": "…", "user_text": "…", "assistant_text": "…"}     also `sample_id`, `user`, `assistant`
    {"id": "…", "turns": [{"role": "user", "text": "…", "voice": …, "emotion": …, "pause_before_sec": …,
                           "overlap_sec": …}, …]}

Other keys of a dialogue are ignored. An unknown key of a turn is rejected, since a misspelt pause would otherwise be
drawn silently.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from typing import IO, Any, NoReturn, cast, get_args

from voice_core.moshi.script import BadDialogueLine, Dialogue, Role, Turn

MAX_LINE_BYTES = 1 << 22
MAX_TURN_CHARS = 5_000
"""About six minutes of speech. A turn is spoken, aligned and mixed as a whole: hours would not fit in memory."""
MAX_PAUSE_SEC = 60.0
_BOM = b"\xef\xbb\xbf"
_TURN_KEYS = frozenset({"role", "text", "voice", "emotion", "pause_before_sec", "overlap_sec"})
_ALIASES = {
    "id": ("id", "sample_id"),
    "user": ("user_text", "user"),
    "assistant": ("assistant_text", "assistant"),
}
_SHOWN = 60


class _BadLineError(Exception):
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def bounded_lines(stream: IO[bytes], limit: int = MAX_LINE_BYTES) -> Iterator[bytes]:
    """The lines of a file. A line that is longer than `limit` is cut after `limit` + 1 bytes."""
    while line := stream.readline(limit + 1):
        yield line
        while len(line) > limit and not line.endswith(b"\n"):
            line = stream.readline(limit + 1)
            if len(line) <= limit:
                break


def read_dialogues(
    lines: Iterable[bytes], file: str = "", seen: dict[int, str] | None = None
) -> Iterator[Dialogue | BadDialogueLine]:
    """Each line as a dialogue or a bad line; blank lines are skipped. Raises only what reading `lines` raises.

    `file` is the name of the file in messages. `seen` has the ids of the files read before, by hash, with the name of
    their file; those of this file are added. Memory grows only by an 8-byte hash (about 100 bytes in Python) per id, by
    which duplicates are found: with 10 million lines the chance that two different ids collide is 3 in a million.
    """
    seen = {} if seen is None else seen
    where = f"{file}, line" if file else "line"
    for number, raw in enumerate(lines, 1):
        line = raw.removeprefix(_BOM) if number == 1 else raw
        if not line.strip():
            continue
        found_id = ""
        try:
            value = _parse_json(line)
            found_id = _parse_id(value)
            dialogue = Dialogue(found_id, tuple(_parse_turns(value)), number)
            key = id_hash(found_id)
            if key in seen:
                other = "on an earlier line" if seen[key] == file else f"in {seen[key]}"
                _refuse(
                    "duplicate_id",
                    f"the id {found_id[:_SHOWN]!r} is already used {other}; ids must be unique, they name files",
                )
        except _BadLineError as error:
            yield BadDialogueLine(number, error.reason, f"{where} {number}: {error}", found_id)
            continue
        seen[key] = file
        yield dialogue


def _refuse(reason: str, message: str) -> NoReturn:
    raise _BadLineError(reason, message)


def id_hash(name: str) -> int:
    """A 64-bit hash of a dialogue's id, to be kept in memory."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")


def _not_json(name: str) -> NoReturn:
    _refuse("bad_json", f"{name} is not a JSON number")


def _parse_json(line: bytes) -> dict[str, Any]:
    if len(line) > MAX_LINE_BYTES:
        _refuse("too_long", f"longer than {MAX_LINE_BYTES:,} bytes; is this file JSON Lines, one dialogue per line?")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        _refuse("bad_utf8", f"byte {error.start} is not UTF-8; save the file as UTF-8")
    try:
        value = json.loads(text.rstrip(), parse_constant=_not_json)
    except json.JSONDecodeError as error:
        _refuse("bad_json", f"not JSON at column {error.colno}: {error.msg}")
    except RecursionError:
        _refuse("bad_json", "brackets are nested too deeply")
    except ValueError as error:
        _refuse("bad_json", f"not JSON: {error}")
    if not isinstance(value, dict):
        _refuse("not_an_object", f"a dialogue is an object {{…}}, this is of the type {type(value).__name__}")
    return value


def _abbreviate(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _get_alias(value: dict[str, Any], name: str) -> Any:
    """The value under one of a key's names; None where there is none."""
    there = [key for key in _ALIASES[name] if key in value]
    if len(there) > 1 and value[there[0]] != value[there[1]]:
        _refuse("ambiguous", f"{there[0]} and {there[1]} are two names of the same key and differ")
    return value[there[0]] if there else None


def _parse_id(value: dict[str, Any]) -> str:
    name = _get_alias(value, "id")
    if isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    if name is None or name == "":
        _refuse("no_id", "there is no id; each dialogue needs a unique id")
    if not isinstance(name, str):
        _refuse("wrong_type", f"the id must be a text, not {_abbreviate(name)}")
    return _encodable(name, "the id")


def _encodable(text: str, what: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        _refuse("bad_text", f"{what} contains half of a surrogate pair")
    return text


def _parse_turns(value: dict[str, Any]) -> Iterator[Turn]:
    turns = value.get("turns")
    texts = {role: _get_alias(value, role) for role in ("user", "assistant")}
    if turns is None:
        if texts["user"] is None and texts["assistant"] is None:
            _refuse("no_turns", "there are neither turns nor user_text and assistant_text")
        for role, text in texts.items():
            yield Turn(cast(Role, role), _parse_text(text, f"{role}_text"))
        return
    if any(text is not None for text in texts.values()):
        _refuse("ambiguous", "there are both turns and user_text or assistant_text; keep one of them")
    if not isinstance(turns, list):
        _refuse("wrong_type", f"turns must be a list, not {_abbreviate(turns)}")
    if not turns:
        _refuse("no_turns", "the list of turns is empty")
    roles: set[str] = set()
    for number, item in enumerate(turns, 1):
        turn = _parse_turn(item, f"turn {number}")
        if turn.overlap_sec and not roles - {turn.role}:
            _refuse("nothing_to_overlap", f"turn {number} has overlap_sec, and the other speaker has no turn before it")
        roles.add(turn.role)
        yield turn


def _parse_turn(item: Any, where: str) -> Turn:
    if not isinstance(item, dict):
        _refuse("wrong_type", f"{where} must be an object, not {_abbreviate(item)}")
    if unknown := sorted(item.keys() - _TURN_KEYS):
        _refuse("unknown_key", f"{where} has {_abbreviate(unknown[0])}; a turn has {', '.join(sorted(_TURN_KEYS))}")
    role = item.get("role")
    if role not in get_args(Role):
        _refuse("unknown_role", f"{where} has the role {_abbreviate(role)}; roles are {' and '.join(get_args(Role))}")
    pause, overlap = (_seconds(item.get(name), f"{name} of {where}") for name in ("pause_before_sec", "overlap_sec"))
    if pause and overlap:
        _refuse("ambiguous", f"{where} has both pause_before_sec and overlap_sec")
    return Turn(
        cast(Role, role),
        _parse_text(item.get("text"), f"the text of {where}"),
        _label(item.get("voice"), f"the voice of {where}"),
        _label(item.get("emotion"), f"the emotion of {where}"),
        pause,
        overlap,
    )


def _parse_text(text: Any, what: str) -> str:
    """A text that can be spoken: it has a letter or a digit."""
    if text is None:
        _refuse("empty_text", f"{what} is missing")
    if not isinstance(text, str):
        _refuse("wrong_type", f"{what} must be a text, not {_abbreviate(text)}")
    if not any(char.isalnum() for char in text):
        _refuse("empty_text", f"{what} has no letter or digit: {_abbreviate(text)}")
    said = _encodable(text.strip(), what)
    if len(said) > MAX_TURN_CHARS:
        _refuse("too_long", f"{what} has {len(said):,} characters; a turn has at most {MAX_TURN_CHARS:,}: split it")
    return said


def _label(value: Any, what: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        _refuse("wrong_type", f"{what} must be a text, not {_abbreviate(value)}")
    return _encodable(value, what)


def _seconds(value: Any, what: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse("wrong_type", f"{what} must be a number, not {_abbreviate(value)}")
    if not 0 <= value <= MAX_PAUSE_SEC or not math.isfinite(value):
        _refuse("out_of_range", f"{what} must be between 0 and {MAX_PAUSE_SEC:g} s, not {_abbreviate(value)}")
    return float(value)
