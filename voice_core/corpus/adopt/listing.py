"""Find the segment files in a listing and group them by recording. Pure.

The layout is `<channel>/<audio_id>_seg_<n>.npz`, or the same without channel folders.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote

from voice_core.corpus.ingest.recordings import Stray
from voice_core.fingerprint import fingerprint
from voice_core.language import pluralize
from voice_core.layout import slug
from voice_core.storage.store import ObjectInfo

_NAME = re.compile(r"(?P<stem>.+)_seg_(?P<index>[0-9]{1,9})\.npz", re.DOTALL)

RecordingKey = tuple[str, str]  # (channel, audio_id)


@dataclass(frozen=True, slots=True)
class SegmentObject:
    info: ObjectInfo
    index: int


@dataclass(frozen=True, slots=True)
class SourceRecording:
    """The segment files of one recording, ordered by number."""

    channel: str
    audio_id: str
    key: str  # pattern of the files' keys
    files: tuple[SegmentObject, ...]

    @property
    def indices(self) -> frozenset[int]:
        return frozenset(item.index for item in self.files)

    @property
    def size_bytes(self) -> int:
        return sum(item.info.size for item in self.files)

    @property
    def identity(self) -> str:
        """Equal while the store reports the same files, all unchanged."""
        return fingerprint([(item.info.key, item.info.identity) for item in self.files])


@dataclass(slots=True)
class SegmentListing:
    recordings: dict[RecordingKey, SourceRecording] = field(default_factory=dict)
    strays: list[Stray] = field(default_factory=list)  # objects that are not segment files


def find_segments(objects: Iterable[ObjectInfo], url: str, channel: str = "") -> SegmentListing:
    """Group segment files by recording. `channel` applies to all of them; without it, each folder is a channel.

    Raises `ValueError` for files outside of any folder if no channel is given.
    """
    found = SegmentListing()
    files: dict[RecordingKey, list[SegmentObject]] = defaultdict(list)
    patterns: dict[RecordingKey, str] = {}
    without_channel: list[str] = []
    for item in objects:
        folder, _, name = item.key.rpartition("/")
        match = _NAME.fullmatch(name)
        if item.unusable:
            found.strays.append(Stray(item.key, item.unusable))
        elif match is None:
            found.strays.append(Stray(item.key, "its name is not <audio_id>_seg_<number>.npz"))
        elif "/" in folder:
            found.strays.append(
                Stray(item.key, f"it is in a subfolder of a channel: adopt {url}/{folder[: folder.rindex('/')]}")
            )
        elif not folder and not channel:
            without_channel.append(item.key)
        else:
            recording = (channel or folder, parse_audio_id(match["stem"]))
            files[recording].append(SegmentObject(item, int(match["index"])))
            patterns.setdefault(recording, f"{folder}/{match['stem']}_seg_*.npz".lstrip("/"))
    if without_channel:
        raise ValueError(
            f"{pluralize(len(without_channel), 'segment file')} in no channel folder under {url}, such as "
            f"{min(without_channel)}: set their channel with --channel"
        )
    for recording in sorted(files):
        ordered = sorted(files[recording], key=lambda file: (file.index, file.info.key))
        found.recordings[recording] = SourceRecording(*recording, patterns[recording], tuple(ordered))
    found.strays.sort(key=lambda stray: stray.key)
    return found


def parse_audio_id(stem: str) -> str:
    """The audio_id of a file name: percent-encoded by this project, taken literally from other programs.

    >>> parse_audio_id("video123"), parse_audio_id("news%2Fmonday"), parse_audio_id("100%")
    ('video123', 'news/monday', '100%')
    """
    plain = unquote(stem, errors="replace")
    return plain if slug(plain) == stem else stem
