"""The m4b: all chapters in one file, joined from their encoded frames, with chapter marks, cover and tags.

An encoder of AAC begins with one frame that only primes the decoder. The book keeps that of the first chapter; the
others would shift all that follows by a frame each. Chapters begin and end with silence, so the decoder needs no
priming there.
"""

import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from voice_core.audiobook.mastering.assembly import FRAME
from voice_core.audiobook.output.cover import CoverImage

_MAX_NERO_CHAPTERS = 255
"""Of the chapter list that Nero defined. A longer one would be cut, and many players prefer it to the complete one."""


@dataclass(frozen=True, slots=True)
class EncodedChapter:
    """A chapter of an m4b. `open` opens its AAC in MP4."""

    title: str
    sample_count: int
    open: Callable[[], AbstractContextManager[IO[bytes]]]


@dataclass(frozen=True, slots=True)
class BookTags:
    """What the files say of the book."""

    title: str
    authors: tuple[str, ...] = ()
    narrator: str = ""
    date: str = ""
    description: str = ""
    publisher: str = ""
    language: str = ""

    @property
    def author(self) -> str:
        return ", ".join(self.authors)

    def for_file(self) -> dict[str, str]:
        """The tags of a file of the whole book, without empty ones."""
        tags = {
            "title": self.title,
            "album": self.title,
            "artist": self.author,
            "album_artist": self.author,
            "composer": self.narrator,
            "genre": "Audiobook",
            "date": self.date,
            "description": self.description,
            "publisher": self.publisher,
        }
        return {name: value for name, value in tags.items() if value}

    def for_chapter(self, title: str, number: int) -> dict[str, str]:
        return {**self.for_file(), "title": title, "track": str(number), "description": ""}


def write_m4b(
    path: Path, chapters: Sequence[EncodedChapter], rate_hz: int, tags: BookTags, cover: CoverImage | None
) -> None:
    """Join encoded chapters to `path`. Raises ValueError for a chapter with missing frames."""
    movflags = "+faststart+disable_chpl" if len(chapters) > _MAX_NERO_CHAPTERS else "+faststart"
    options = {"fflags": "+bitexact", "movflags": movflags, "brand": "M4B "}
    with av.open(str(path), "w", format="mp4", options=options) as container:
        with chapters[0].open() as file, av.open(file, "r") as first:
            audio = container.add_stream_from_template(first.streams.audio[0])
        picture = _add_cover(container, cover)
        container.metadata.update({**tags.for_file(), "media_type": "2"})
        container.set_chapters(_chapter_marks(chapters, rate_hz))
        container.start_encoding()
        if picture is not None:
            container.mux(picture)
        start = 0
        for chapter in chapters:
            _copy_frames(container, audio, chapter, start)
            start += chapter.sample_count


def _add_cover(container: OutputContainer, cover: CoverImage | None) -> av.Packet | None:
    if cover is None:
        return None
    with av.open(io.BytesIO(cover.data), "r") as image:
        stream = container.add_stream_from_template(image.streams.video[0])
        assert isinstance(stream, VideoStream)
        stream.disposition = Disposition.attached_pic.value  # type: ignore[assignment]  # PyAV 16 takes only the number
        packet = next(image.demux(video=0))
    packet.stream, packet.pts, packet.dts = stream, 0, 0
    return packet


def _chapter_marks(chapters: Sequence[EncodedChapter], rate_hz: int) -> list[Any]:
    marks: list[Any] = []
    start = 0
    for number, chapter in enumerate(chapters, 1):
        end = start + chapter.sample_count
        title = chapter.title or str(number)
        marks.append(
            {
                "id": number,
                "start": start,
                "end": end,
                "time_base": Fraction(1, rate_hz),
                "metadata": {"title": title},
            }
        )
        start = end
    return marks


def _copy_frames(container: OutputContainer, audio: AudioStream, chapter: EncodedChapter, start: int) -> None:
    frames = 0
    with chapter.open() as file, av.open(file, "r") as source:
        for packet in source.demux(audio=0):
            if not packet.size or packet.pts is None:  # the end of the file
                continue
            if packet.pts >= 0:
                frames += 1
            elif start:
                continue
            packet.pts = packet.dts = packet.pts + start
            packet.stream = audio
            container.mux(packet)
    if frames * FRAME != chapter.sample_count:
        raise ValueError(
            f"the chapter {chapter.title!r} has {frames} frames of AAC, not {chapter.sample_count / FRAME:g}: "
            "run the command again with --verify"
        )
