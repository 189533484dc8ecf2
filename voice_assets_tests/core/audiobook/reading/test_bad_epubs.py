"""Bad EPUBs give a clear error, or a warning and the rest of the book."""

import io
import struct
import zipfile
from pathlib import Path

import pytest

from voice_assets_tests.core.audiobook.epub_builder import build_epub, xhtml, zip_members
from voice_assets_tests.core.audiobook.reading.helpers import chapters, read_epub, skipped, spoken
from voice_core.audiobook.model import BookError
from voice_core.audiobook.reading import epub_archive, read_book
from voice_core.settings.audiobook import AudiobookSettings

SETTINGS = AudiobookSettings()
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
JPEG = b"\xff\xd8\xff\xe0" + bytes(100)
TWO = ["One", "It was a bright day. The clocks were right.", "Two", "It rained.", "Nobody minded."]


def error_of(data: bytes, name: str = "shelf/a.epub") -> str:
    with pytest.raises(BookError) as error:
        read_book(data, name, SETTINGS)
    assert str(error.value).startswith(f"{name}: ")
    return str(error.value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"just text", "is not a zip archive"),
        (build_epub()[:-400], "truncated or damaged"),
        (build_epub()[:200], "truncated or damaged"),
        (zip_members({"word/document.xml": "<x/>"}), "there is none; the file is not an EPUB"),
        (build_epub(spine=[]), "the spine names no document"),
        (build_epub(members={"OEBPS/content.opf": "no XML at all"}), "content.opf: cannot be parsed as XML"),
        (build_epub(leave_out=["OEBPS/ch1.xhtml", "OEBPS/ch2.xhtml"]), "none of the documents"),
        (build_epub(documents={"a.xhtml": "<p> </p>"}, nav=None), "has no text"),
    ],
)
def test_what_is_not_an_epub_is_an_error(data: bytes, reason: str) -> None:
    assert reason in error_of(data)


def test_a_damaged_member_is_an_error_with_its_name() -> None:
    data = bytearray(build_epub())
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
        start = archive.getinfo("OEBPS/ch1.xhtml").header_offset
    name_length, extra_length = struct.unpack("<HH", data[start + 26 : start + 30])
    at = start + 30 + name_length + extra_length
    data[at : at + 8] = b"\xff" * 8
    assert "OEBPS/ch1.xhtml: the file cannot be unpacked" in error_of(bytes(data))


def test_a_bomb_by_its_header() -> None:
    bomb = build_epub(documents={"a.xhtml": xhtml("<p>" + "a" * (33 << 20) + "</p>")}, nav=None)
    assert len(bomb) < 100_000
    assert "OEBPS/a.xhtml: the file unpacks to 33 MiB, the limit is 32 MiB" in error_of(bomb)


def test_a_bomb_whose_header_claims_to_be_small() -> None:
    bomb = bytearray(build_epub(documents={"a.xhtml": xhtml("<p>" + "a" * (33 << 20) + "</p>")}, nav=None))
    with zipfile.ZipFile(io.BytesIO(bytes(bomb))) as archive:
        size = struct.pack("<I", archive.getinfo("OEBPS/a.xhtml").file_size)
    assert bomb.count(size) >= 2
    assert "OEBPS/a.xhtml: the file cannot be unpacked" in error_of(bytes(bomb.replace(size, struct.pack("<I", 5_000))))


def test_a_bomb_of_many_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epub_archive, "MAX_BYTES", 100_000)
    documents = {f"{i}.xhtml": f"<p>{'a' * 30_000}</p>" for i in range(5)}
    assert "the book unpacks to more than" in error_of(build_epub(documents=documents, nav=None))
    monkeypatch.setattr(epub_archive, "MAX_MEMBERS", 5)
    assert "the archive has 8 members, the limit is 5" in error_of(build_epub(documents=documents, nav=None))


def test_an_archive_inside_an_archive_is_never_unpacked() -> None:
    inner = zip_members({"bomb": b"\0" * (1 << 20)})
    assert spoken(read_epub(members={"OEBPS/inner.zip": inner})) == TWO


def test_names_that_lead_out_of_the_archive_are_ignored() -> None:
    book = read_epub(
        members={"../evil.xhtml": "<p>evil</p>", "/etc/evil.xhtml": "<p>evil</p>", "a/../../evil.xhtml": "<p>evil</p>"},
        manifest='<item id="e" href="../../evil.xhtml" media-type="application/xhtml+xml"/>',
        spine=["ch1.xhtml", "e", "ch2.xhtml"],
    )
    assert spoken(book) == TWO
    assert sum("leads out of the archive" in warning for warning in book.warnings) == 3
    assert any("evil.xhtml: the document is missing" in warning for warning in book.warnings)


@pytest.mark.parametrize("declaration", ['SYSTEM "file://{}"', 'PUBLIC "x" "file://{}"', '"inside"'])
def test_entities_of_documents_are_not_expanded(tmp_path: Path, declaration: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("SECRET")
    doctype = f"<!DOCTYPE html [<!ENTITY xxe {declaration.format(secret)}>]>"
    document = (
        f"<?xml version='1.0'?>{doctype}<html xmlns='http://www.w3.org/1999/xhtml'><body><p>A &xxe; b</p></body></html>"
    )
    book = read_book(build_epub(documents={"a.xhtml": document}, nav=None), "a.epub", SETTINGS)
    assert book.adds_up
    assert spoken(book) == ["A &xxe; b"]
    assert any("&xxe;" in warning for warning in book.warnings)
    with zipfile.ZipFile(io.BytesIO(build_epub())) as archive:
        package = archive.read("OEBPS/content.opf").decode()
    package = package.replace("<package", f"{doctype.replace('html', 'package', 1)}<package", 1).replace(
        "A Book", "A &xxe;"
    )
    book = read_book(build_epub(members={"OEBPS/content.opf": package}), "a.epub", SETTINGS)
    assert "SECRET" not in book.title
    assert "inside" not in book.title


@pytest.mark.parametrize(
    "prolog",
    ["<!-- <!DOCTYPE html> --><!DOCTYPE html [<!ENTITY a 'b'>]>",
     "<?xml version='1.0'?>\n<?pi <!DOCTYPE x> ?> <!-- a --> <!doctype html [<!ENTITY a ']>'><!-- ]> ' --> ]  >",
     "<!DOCTYPE html PUBLIC '-//W3C//DTD XHTML 1.1//EN>"],
)  # fmt: skip
def test_document_types_are_found_behind_comments(prolog: str) -> None:
    html = '<html xmlns="http://www.w3.org/1999/xhtml"><body><p>It&apos;s &a; &b-c.d; here.</p></body></html>'
    book = read_epub(documents={"a.xhtml": f"<?xml version='1.0'?>{html}".replace("<html", f"{prolog}<html")}, nav=None)
    assert spoken(book) == ["It's &a; &b-c.d; here."]


@pytest.mark.parametrize(
    "body", ["<p>One <!-- two <p>three</p>", "<p>One <![CDATA[two]]> <b>three</p>", "<p>One <![CDATA[two</p>three"]
)
def test_what_is_not_closed_is_read(body: str) -> None:
    book = read_epub(documents={"a.xhtml": body}, nav=None)
    words = "".join(spoken(book))
    assert all(word in words for word in ("One", "two", "three"))
    assert any("not closed" in warning or "not well-formed" in warning for warning in book.warnings)


def test_entities_that_grow_without_limit() -> None:
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
    document = f'<!DOCTYPE html [<!ENTITY l0 "ha">{laughs}]><html><body><p title="&l11;">&l11;</p></body></html>'
    assert spoken(read_epub(documents={"a.xhtml": document}, nav=None)) == ["&l11;"]


ENCRYPTION = (
    '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container" xmlns:enc="http://www.w3.org/2001/04/xmlenc#">'
    '<enc:EncryptedData><enc:EncryptionMethod Algorithm="{}"/><enc:CipherData><enc:CipherReference URI="{}"/>'
    "</enc:CipherData></enc:EncryptedData></encryption>"
)


def test_encrypted_books_are_an_error() -> None:
    content = ENCRYPTION.format("http://www.w3.org/2001/04/xmlenc#aes128-cbc", "OEBPS/ch1.xhtml")
    message = error_of(build_epub(members={"META-INF/encryption.xml": content}))
    assert "OEBPS/ch1.xhtml: the book is encrypted (DRM, http://www.w3.org/2001/04/xmlenc#aes128-cbc)" in message


@pytest.mark.parametrize("algorithm", ["http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"])
def test_obfuscated_fonts_are_not_encryption(algorithm: str) -> None:
    content = ENCRYPTION.format(algorithm, "OEBPS/font.otf")
    assert spoken(read_epub(members={"META-INF/encryption.xml": content})) == TWO


def test_a_wrong_or_missing_mimetype_is_a_warning() -> None:
    book = read_epub(mimetype="application/zip")
    assert spoken(book) == TWO
    assert "mimetype: it is 'application/zip', not application/epub+zip" in book.warnings
    assert "mimetype: the file is missing" in read_epub(leave_out=["mimetype"]).warnings


def test_a_missing_container_is_a_warning() -> None:
    book = read_epub(leave_out=["META-INF/container.xml"])
    assert spoken(book) == TWO
    assert any("OEBPS/content.opf is taken" in warning for warning in book.warnings)


def test_a_missing_document_is_a_warning_and_the_rest_is_read() -> None:
    book = read_epub(leave_out=["OEBPS/ch1.xhtml"], spine=["ch1.xhtml", "ch2.xhtml", "unknown"])
    assert chapters(book) == {"Two": ["Two", "It rained.", "Nobody minded."]}
    assert "OEBPS/ch1.xhtml: the document is missing in the archive; the rest is read" in book.warnings
    assert any("'unknown', which is not in the manifest" in warning for warning in book.warnings)


@pytest.mark.parametrize(
    "body", ["<p>One<p>two & <b>three</p>", "<p>One</p><p>two &amp; <b>three</b>", "One<br>two &nbsp; &amp; <i>three"]
)
def test_broken_xhtml_is_read_with_a_warning(body: str) -> None:
    book = read_epub(documents={"a.xhtml": body}, nav=None)
    assert " ".join(spoken(book)).split() == ["One", "two", "&", "three"]
    assert any("a.xhtml: it is not well-formed" in warning for warning in book.warnings)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "cp1256", "utf-8-sig"])
@pytest.mark.parametrize("declared", [True, False])
def test_documents_in_other_encodings(encoding: str, declared: bool) -> None:
    name = encoding.removesuffix("-sig").removesuffix("-le").removesuffix("-be")
    declaration = f'<?xml version="1.0" encoding="{name}"?>' if declared else ""
    text = "قال الرجل: تعال إلى هنا. ثم ذهب إلى البحر البعيد."
    document = f'{declaration}<html xmlns="http://www.w3.org/1999/xhtml"><body><p>{text}</p></body></html>'
    book = read_epub(documents={"a.xhtml": document.encode(encoding)}, language="ar", nav=None)
    assert spoken(book) == [text]


def test_duplicate_ids_begin_a_chapter_at_the_first() -> None:
    body = '<h1 id="x">One</h1><p id="x">A.</p><h1 id="y">Two</h1><p id="y">B.</p>'
    book = read_epub(documents={"a.xhtml": body}, nav=[("One", "a.xhtml#x"), ("Two", "a.xhtml#y")])
    assert chapters(book) == {"One": ["One", "A."], "Two": ["Two", "B."]}
    twice = read_epub(manifest='<item id="d0" href="ch2.xhtml" media-type="application/xhtml+xml"/>')
    assert spoken(twice) == TWO
    assert any("the id 'd0' twice" in warning for warning in twice.warnings)


def test_elements_nested_too_deep_are_an_error() -> None:
    body = "<div>" * 50_000 + "deep" + "</div>" * 50_000
    assert "OEBPS/a.xhtml: its elements are nested more than 2,048 deep" in error_of(
        build_epub(documents={"a.xhtml": body}, nav=None)
    )


@pytest.mark.parametrize("cover", [JPEG, PNG])
@pytest.mark.parametrize("version", ["2.0", "3.0"])
def test_the_cover(cover: bytes, version: str) -> None:
    found = read_epub(cover=cover, version=version).cover
    assert found is not None
    assert found.data == cover
    assert found.media_type == ("image/png" if cover is PNG else "image/jpeg")


def test_the_cover_of_a_guide() -> None:
    found = read_epub(
        version="2.0", nav=None, ncx="headings", guide='<guide><reference type="cover" href="c.xhtml"/></guide>',
        members={"OEBPS/c.xhtml": xhtml('<img src="pic/c.jpg"/>'), "OEBPS/pic/c.jpg": JPEG},
    ).cover  # fmt: skip
    assert found is not None
    assert found.data == JPEG


def test_covers_that_cannot_be_used_are_left_out_with_a_warning() -> None:
    assert read_epub().cover is None
    large = read_epub(cover=PNG + bytes(50 << 20))
    assert large.cover is None
    assert any(
        "cover is left out: OEBPS/cover.png: the file unpacks to 50 MiB" in warning for warning in large.warnings
    )
    other = read_epub(cover=b"GIF89a" + bytes(50))
    assert any("neither JPEG nor PNG" in warning for warning in other.warnings)
    missing = read_epub(cover=JPEG, leave_out=["OEBPS/cover.jpg"])
    assert any("cover is left out: OEBPS/cover.jpg: the file is missing" in warning for warning in missing.warnings)


def test_metadata() -> None:
    book = read_epub(
        title="Tom & Jerry",
        authors=["A. One", "B. Two"],
        language="en-GB",
        identifier="isbn:123",
        metadata='<dc:creator id="t">C. Three</dc:creator><meta refines="#t" property="role">trl</meta>'
        "<dc:publisher>House</dc:publisher><dc:date>1815-12-23</dc:date><dc:description>&lt;p&gt;A &lt;b&gt;story"
        "&lt;/b&gt;.&lt;/p&gt;</dc:description>",
    )
    assert (book.title, book.authors, book.language, book.identifier) == (
        "Tom & Jerry", ("A. One", "B. Two"), "en-GB", "isbn:123"
    )  # fmt: skip
    assert (book.publisher, book.date, book.description) == ("House", "1815-12-23", "A story .")


def test_pictures_in_the_spine_are_a_warning() -> None:
    book = read_epub(cover=PNG, spine=["cover-image", "ch1.xhtml", "ch2.xhtml"])
    assert spoken(book) == TWO
    assert any("has no text" in warning for warning in book.warnings)
    assert skipped(book) == {}
