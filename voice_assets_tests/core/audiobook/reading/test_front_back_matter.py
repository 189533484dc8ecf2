"""Front and back matter are known by type, role, landmarks, guide and title, and follow the settings."""

import pytest

from voice_assets_tests.core.audiobook.epub_builder import xhtml
from voice_assets_tests.core.audiobook.reading.helpers import chapters, read_epub, read_text, skipped, spoken
from voice_core.settings.audiobook import AudiobookSettings

BODY = {"one.xhtml": "<h1>One</h1><p>Text.</p>", "two.xhtml": "<h1>Two</h1><p>More text.</p>"}
SPEAK = AudiobookSettings(front_matter="speak", back_matter="speak")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('<section epub:type="titlepage"><p>Matter.</p></section>', "front_matter"),
        ('<section epub:type="copyright-page"><p>Matter.</p></section>', "front_matter"),
        ('<section epub:type="frontmatter"><p>Matter.</p></section>', "front_matter"),
        ('<section role="doc-dedication"><p>Matter.</p></section>', "front_matter"),
        ('<section epub:type="backmatter index"><p>Matter.</p></section>', "back_matter"),
        ('<section role="doc-bibliography"><p>Matter.</p></section>', "back_matter"),
    ],
)
def test_matter_is_known_by_its_type(body: str, reason: str) -> None:
    documents = {"m.xhtml": body} | BODY
    nav = [("Matter", "m.xhtml"), ("One", "one.xhtml"), ("Two", "two.xhtml")]
    book = read_epub(documents=documents, nav=nav)
    assert list(chapters(book)) == ["One", "Two"]
    assert skipped(book) == {reason: ["Matter."]}
    assert list(chapters(read_epub(SPEAK, documents=documents, nav=nav))) == ["Matter", "One", "Two"]


@pytest.mark.parametrize("kind", ["preface", "foreword", "introduction", "prologue", "epigraph"])
def test_prefaces_are_text_though_they_are_in_the_front(kind: str) -> None:
    body = f'<section epub:type="frontmatter {kind}"><h1>Copyright</h1><p>I wrote this.</p></section>'
    inner = f'<section epub:type="frontmatter"><section epub:type="{kind}"><p>I wrote this.</p></section></section>'
    for document in (body, inner):
        assert "I wrote this." in spoken(read_epub(documents={"p.xhtml": document} | BODY, nav="headings"))


@pytest.mark.parametrize(
    ("title", "reason"),
    [("Copyright", "front_matter"), ("INDEX", "back_matter"), ("About the Author", "back_matter"),
     ("الإهداء", "front_matter"), ("Table of Contents", "contents"), ("المراجع", "back_matter")],
)  # fmt: skip
def test_matter_is_known_by_its_title(title: str, reason: str) -> None:
    documents = BODY | {"m.xhtml": f"<h1>{title}</h1><p>Matter.</p>"}
    book = read_epub(documents=documents)
    assert list(chapters(book)) == ["One", "Two"]
    assert skipped(book) == {reason: [title, "Matter."]}
    without_contents = read_epub(documents=documents, nav=None)
    assert skipped(without_contents) == {reason: [title, "Matter."]}


def test_landmarks_name_matter() -> None:
    nav = xhtml(
        '<nav epub:type="toc"><ol><li><a href="one.xhtml">One</a></li><li><a href="two.xhtml">Two</a></li></ol></nav>'
        '<nav epub:type="landmarks"><ol><li><a epub:type="titlepage" href="m.xhtml">T</a></li>'
        '<li><a epub:type="bodymatter" href="one.xhtml">B</a></li></ol></nav>'
    )
    book = read_epub(documents={"m.xhtml": "<p>Matter.</p>"} | BODY, nav=nav)
    assert skipped(book) == {"front_matter": ["Matter."]}


def test_the_guide_names_matter_unless_the_text_begins_there() -> None:
    guide = '<guide><reference type="{}" href="m.xhtml"/>{}</guide>'
    documents = {"m.xhtml": "<p>Matter.</p>"} | BODY
    arguments = {"documents": documents, "version": "2.0", "nav": None, "ncx": "headings"}
    book = read_epub(guide=guide.format("dedication", ""), **arguments)
    assert skipped(book) == {"front_matter": ["Matter."]}
    book = read_epub(guide=guide.format("dedication", '<reference type="text" href="m.xhtml#x"/>'), **arguments)
    assert skipped(book) == {}


def test_a_copyright_page_that_the_contents_do_not_list() -> None:
    documents = {"t.xhtml": "<h1>A Book</h1><p>by An Author</p>", "c.xhtml": "<p>© 2020. All rights reserved.</p>",
                 "p.xhtml": "<p>Before it all began, it was quiet. Very quiet.</p>"} | BODY  # fmt: skip
    book = read_epub(documents=documents, nav=[("One", "one.xhtml"), ("Two", "two.xhtml")])
    assert skipped(book) == {"front_matter": ["A Book", "by An Author", "© 2020. All rights reserved."]}
    assert chapters(book)["A Book"] == ["Before it all began, it was quiet. Very quiet."]


def test_a_cover_in_the_contents_does_not_hide_what_follows_it() -> None:
    documents = {"cover.xhtml": "<p>Cover</p>", "p.xhtml": "<p>A prologue that is not listed.</p>"} | BODY
    nav = [("Cover", "cover.xhtml"), ("One", "one.xhtml"), ("Two", "two.xhtml")]
    book = read_epub(documents=documents, nav=nav)
    assert list(chapters(book)) == ["A Book", "One", "Two"]
    assert skipped(book) == {"front_matter": ["Cover"]}


def test_a_short_book_that_begins_with_its_title_is_no_title_page() -> None:
    for title in ("Tom", "To"):
        book = read_epub(documents={"a.xhtml": "<p>Tom went out into the rain and did not come back</p>"}, title=title)
        assert spoken(book) == ["Tom went out into the rain and did not come back"]


@pytest.mark.parametrize(
    ("head", "foot"),
    [('<div id="pg-header"><h2>The eBook</h2><p>Licence.</p></div>', '<div id="pg-footer"><p>Licence.</p></div>'),
     ("<h2>The eBook</h2><p>Licence.</p><p>*** START OF THE PROJECT GUTENBERG EBOOK TOM ***</p>",
      "<p>*** END OF THE PROJECT GUTENBERG EBOOK TOM ***</p><p>Licence.</p>")],
)  # fmt: skip
@pytest.mark.parametrize("nav", ["headings", None])
def test_the_licence_of_project_gutenberg_in_a_book_is_skipped(head: str, foot: str, nav: str | None) -> None:
    documents = {
        "a.xhtml": f"{head}<h1>One</h1><p>Text of one.</p>",
        "b.xhtml": f"<h1>Two</h1><p>Text of two.</p>{foot}",
    }
    assert spoken(read_epub(documents=documents, nav=nav)) == ["One", "Text of one.", "Two", "Text of two."]


LONG = "<p>It was late, and nobody in the house had slept since the clock had struck two.</p>" * 20


@pytest.mark.parametrize(
    "title", ["Sources", "Credits", "Notes", "Index", "Contents", "Dedication", "Copyright", "المصادر"]
)
@pytest.mark.parametrize("nav", ["headings", None])
def test_a_chapter_in_the_middle_is_spoken_whatever_its_title(title: str, nav: str | None) -> None:
    names = ["One", title, "Two", "Three"]
    documents = {f"c{i}.xhtml": f"<h1>{name}</h1>{LONG}" for i, name in enumerate(names)}
    assert list(chapters(read_epub(documents=documents, nav=nav))) == names


def test_matter_is_found_behind_what_is_neither_matter_nor_a_chapter() -> None:
    short = "<p>Few words.</p>"
    names = ["Foreword", "Dedication", "Contents", "Preface", "Copyright", "One", "Two", "Three", "Four", "Five", "Six"]
    names += [
        "Seven",
        "Epilogue",
        "Sources",
        "Appendix A",
        "Credits",
        "Acknowledgments",
        "Excerpt: Eight",
        "Also by Me",
    ]
    matter = {"Dedication", "Contents", "Copyright", "Sources", "Credits", "Acknowledgments", "Also by Me"}
    documents = {f"c{i}.xhtml": f"<h1>{name}</h1>{short if name in matter else LONG}" for i, name in enumerate(names)}
    assert list(chapters(read_epub(documents=documents))) == [name for name in names if name not in matter]


def test_notes_and_contents_in_the_middle_are_known_by_their_text_or_number() -> None:
    notes = "<h2>Notes</h2><p>1. See there.</p><p>2. See here.</p>"
    once = {"a.xhtml": f"<h1>One</h1>{LONG}", "n.xhtml": notes, "b.xhtml": f"<h1>Two</h1>{LONG}"}
    assert list(chapters(read_epub(documents=once))) == ["One", "Two"]
    documents = {f"{i}.xhtml": f"<h1>{i}</h1>{LONG}<h2 id='s'>References</h2><p>Smith.</p>" for i in (1, 2, 3)}
    nav = [entry for i in (1, 2, 3) for entry in ((f"Chapter {i}", f"{i}.xhtml"), ("References", f"{i}.xhtml#s", 2))]
    assert list(chapters(read_epub(documents=documents, nav=nav))) == ["Chapter 1", "Chapter 2", "Chapter 3"]


def test_dedications_and_copyright_before_the_first_chapter_are_front_matter() -> None:
    documents = {
        "d.xhtml": "<p><i>For Anna,</i></p><p>who knew</p>",
        "e.xhtml": "<p>All are happy.</p>",
    } | BODY
    book = read_epub(documents=documents, nav=[("One", "one.xhtml"), ("Two", "two.xhtml")])
    assert skipped(book) == {"front_matter": ["For Anna,", "who knew"]}
    notice, chapter = "Copyright 2020 A. One. All rights reserved.", "CHAPTER I\n\n" + "It was late. " * 9
    book = read_text(f"The Sea\n\n{notice}\n\n{chapter}\n\nAbout the Author\n\nHe lives.")
    assert spoken(book)[:2] == ["The Sea", "CHAPTER I"]
    assert skipped(book) == {"front_matter": [notice], "back_matter": ["About the Author", "He lives."]}
