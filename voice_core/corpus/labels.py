"""The labels of a transcript's line: one field of `Labels` each, declared here and nowhere else.

Transcripts, segment files, manifests, the dataset's rows, the card, the report and `voice trace` take the labels from
here. docs/extending.md shows how to add one.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


def label(
    description: str = "as the transcript says",
    *,
    title: str = "",
    aliases: tuple[str, ...] = (),
    personal: bool = True,
) -> Any:
    """The declaration of a label: a field of `Labels` that is "" where a transcript does not give it.

    `description` explains the column on the dataset card, `title` is the label's name in text (the field's name by
    default), and `aliases` are other names for it in transcripts, used where the field itself is missing or empty. The
    totals of a `personal` label are left out of copies of the card that `voice forget` cannot change.
    """
    about = {"description": description, "title": title, "aliases": aliases, "personal": personal}
    return dataclasses.field(default="", metadata=about)


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Who speaks and how, as strings. Base of everything that carries a line's labels.

    Columns and tables follow the order of the fields.
    """

    speaker_id: str = label("who speaks, as the transcript says", title="speaker", aliases=("speaker",))
    gender: str = label()
    dialect: str = label()
    tone: str = label()


@dataclass(frozen=True, slots=True)
class Label:
    """One declared label; see `label`."""

    name: str
    title: str
    description: str
    aliases: tuple[str, ...]
    personal: bool


def _read_label(item: "dataclasses.Field[Any]") -> Label:
    about: Mapping[str, Any] = item.metadata
    return Label(item.name, about["title"] or item.name, about["description"], about["aliases"], about["personal"])


LABELS: tuple[Label, ...] = tuple(_read_label(item) for item in dataclasses.fields(Labels))
LABEL_NAMES: tuple[str, ...] = tuple(item.name for item in LABELS)
REQUIRED_LABELS: tuple[str, ...] = ("speaker_id", "gender", "dialect", "tone")
"""The labels that every segment file holds, empty or not, since files without the others exist."""
ADDED_LABELS: tuple[str, ...] = tuple(name for name in LABEL_NAMES if name not in REQUIRED_LABELS)
"""The labels that were added later. A segment file holds those that are given, and only those are part of its
fingerprint: adding a label changes no file of a line that does not have it."""


def ordered_fields(row_type: Any) -> "list[dataclasses.Field[Any]]":
    """The fields of a dataclass in the order of columns: labels come after the field `text`."""
    fields = {item.name: item for item in dataclasses.fields(row_type)}
    if not issubclass(row_type, Labels) or "text" not in fields:
        return list(fields.values())
    own = [name for name in fields if name not in LABEL_NAMES]
    after_text = own.index("text") + 1
    return [fields[name] for name in (*own[:after_text], *LABEL_NAMES, *own[after_text:])]


def label_values(item: Labels) -> dict[str, Any]:
    """All labels by name, in the order of declaration; the values are strings.

    >>> label_values(Labels(gender="female"))
    {'speaker_id': '', 'gender': 'female', 'dialect': '', 'tone': ''}
    """
    return {name: getattr(item, name) for name in LABEL_NAMES}


def stored_labels(item: Labels) -> dict[str, str]:
    """The labels that a segment file holds: the required ones, and those of the others that are given."""
    return {name: value for name, value in label_values(item).items() if value or name in REQUIRED_LABELS}


def fingerprint_labels(item: Labels) -> list[Any]:
    """What a fingerprint takes of the labels: the values of the required ones, then the others that are given.

    >>> fingerprint_labels(Labels(speaker_id="s1", tone="calm"))
    ['s1', '', '', 'calm']
    """
    values = stored_labels(item)
    return [*(values.pop(name) for name in REQUIRED_LABELS), *([values] if values else [])]
