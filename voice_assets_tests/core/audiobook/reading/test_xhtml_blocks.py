"""The text of XHTML is read as a person would read it."""

import pytest

from voice_assets_tests.core.audiobook.reading.helpers import (
    all_blocks,
    read_body,
    read_epub,
    skipped,
    spoken,
)
from voice_core.settings.audiobook import AudiobookSettings


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('<p><span class="dropcap">O</span>nce upon a <b>ti</b>me.</p>', "Once upon a time."),
        ("<p>One<br/>two</p>", "One two"),
        ("<p>Twenty-<br/>five</p>", "Twenty-five"),
        ("<p><b>Twenty-\n <br/> \n</b><i>Five</i></p>", "Twenty-Five"),
        ("<p>Anglo‐<br/>Saxon so\u00ad<br/>ft</p>", "Anglo‐Saxon soft"),
        ("<p>Twenty-\n  five: pre-\nand <i>post-\nwar</i>\n- no</p>", "Twenty-five: pre- and post-war - no"),
        ("<p>pre-<br/>and post-war</p>", "pre- and post-war"),
        ("<p>He stopped -<br/>then he went</p>", "He stopped - then he went"),
        ('<p><img alt="T"/>he sun</p>', "The sun"),
        ('<p><span class="drop"><img alt="“T"/></span><span>HE</span> sun</p>', "“THE sun"),
        ('<p><img alt="I"/> was born.</p>', "I was born."),
        ('<p><img alt="T"/>The sun <img alt="x"/> and <img alt="star"/>he</p>', "The sun and he"),
        ('<p>See <img alt="A"/> below, <img alt="5"/><br/>and</p>', "See below, and"),
        ('<p dir="rtl"><img alt="ق"/>ال الرجل</p>', "قال الرجل"),
        ('<div class="dropcap"><b>“T</b></div>\n<p> he sun</p>', "“The sun"),
        ('<h1><span class="n">2</span><span>The Sea</span></h1>', "2 The Sea"),
        ("<h1><small>T</small>HE <small>S</small>EA 1<sup>st</sup></h1>", "THE SEA 1st"),
        ("<p><math><msup><mi>x</mi><mn>2</mn></msup><mfrac><mn>1</mn><mn>2</mn></mfrac></math></p>", "x²1/2"),
        ("<p>so\u00adft zero\u200bwidth \u2066mark\u2069</p>", "soft zerowidth mark"),
        ("<p>\n  wrapped\n  lines&nbsp;and&#160;spaces </p>", "wrapped lines and spaces"),
        ("<p>caf&eacute; &amp; &lt;tea&gt; &#8220;x&#8221;</p>", "café & <tea> “x”"),
        ("<p>Windows&#146;s signs</p>", "Windows’s signs"),
        ("<p>می\u200cخواهم</p>", "می\u200cخواهم"),
        ("<p>1<sup>st</sup> of H<sub>2</sub>O</p>", "1st of H2O"),
        ("<p><ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>字</p>", "漢字"),
        ("<p><!-- no -->a<?pi no?>b<![CDATA[c]]></p>", "abc"),
        ("<p>a<script>no()</script><style>p {}</style>b</p>", "ab"),
        ('<p>a<img src="x.jpg" alt="A picture"/>b</p>', "ab"),
        ("text outside of a paragraph", "text outside of a paragraph"),
    ],
)
def test_inline_elements_add_no_spaces_and_lose_no_letters(body: str, expected: str) -> None:
    assert spoken(read_body(body)) == [expected]


def test_what_is_skipped_inside_a_block_is_listed_with_its_reason() -> None:
    book = read_body(
        '<p>Be<span epub:type="pagebreak" id="p2">12</span>fore<ruby>漢<rt>kan</rt></ruby> '
        '<span hidden="">secret</span><span style="display:none">gone</span>after</p>'
        '<p><span class="pagenum">13</span></p>'
        '<svg xmlns="http://www.w3.org/2000/svg"><text>drawn</text></svg>'
    )
    assert spoken(book) == ["Before漢 after"]
    assert skipped(book) == {
        "page_number": ["12", "13"], "ruby": ["kan"], "hidden": ["secret", "gone"], "picture": ["drawn"]
    }  # fmt: skip


def test_page_breaks_that_hold_text_are_read() -> None:
    assert spoken(read_body('<div epub:type="pagebreak"><p>A whole page of the book is in here.</p></div>')) == [
        "A whole page of the book is in here."
    ]


def test_blocks_have_kinds_and_places() -> None:
    book = read_body(
        '<h1 id="top">One</h1><p id="p1">Text.</p><blockquote><p>Quoted.</p></blockquote><ul><li>Item.<ul>'
        "<li>Inner.</li></ul></li></ul><dl><dt>Term</dt><dd>Meaning</dd></dl><figure><figcaption>Caption.</figcaption></figure>"
    )
    found = [(block.kind, block.text) for block in all_blocks(book)]
    assert found == [
        ("heading", "One"), ("paragraph", "Text."), ("quote", "Quoted."), ("list_item", "Item."),
        ("list_item", "Inner."), ("list_item", "Term"), ("list_item", "Meaning"), ("caption", "Caption."),
    ]  # fmt: skip
    places = [block.place for block in all_blocks(book)]
    assert places[:2] == ["OEBPS/a.xhtml#top", "OEBPS/a.xhtml#p1"]
    assert places[2].startswith("OEBPS/a.xhtml line ")


def test_verse_keeps_its_lines() -> None:
    expected = ["Before", "First line\nsecond line", "After"]
    in_lines = '<div class="poem"><div class="line">First line</div><div class="line">second <i>line</i></div></div>'
    with_breaks = '<div class="poem"><p>First line<br/>\n second line</p></div>'
    typed = '<section epub:type="z3998:poem"><p>First line<br/>second line<br/></p></section>'
    for verse in (in_lines, with_breaks, typed, "<pre>First line\nsecond  line</pre>"):
        book = read_body(f"<p>Before</p>{verse}<p>After</p>")
        assert spoken(book) == expected
        assert all_blocks(book)[1].kind == "verse"


def test_tables_are_spoken_row_by_row_or_skipped() -> None:
    table = (
        "<table><caption>Prices</caption><tr><th>Tea</th><th>Milk</th></tr>"
        "<tr><td><p>4</p><p>cups</p></td><td>2<br/>pints</td></tr></table>"
    )
    book = read_body(f"<p>Text.</p>{table}", tables="speak")
    assert spoken(book) == ["Text.", "Prices", "Tea\nMilk", "4 cups\n2 pints"]
    assert {block.kind for block in all_blocks(book)[2:]} == {"table"}
    book = read_body(f"<p>Text.</p>{table}")
    assert skipped(book) == {"table": ["Prices", "Tea\nMilk", "4 cups\n2 pints"]}


def test_tables_for_layout_are_text() -> None:
    book = read_body('<table role="presentation"><tr><td><p>Left.</p></td><td><p>Right.</p></td></tr></table>')
    assert spoken(book) == ["Left.", "Right."]


def test_code_and_captions_follow_the_settings() -> None:
    body = "<p>Call <code>run</code>.</p><pre><code>x = 1\ny  = 2</code></pre><p class='caption'>Figure 1.</p>"
    book = read_body(body)
    assert spoken(book) == ["Call run.", "Figure 1."]
    assert skipped(book) == {"code": ["x = 1\ny = 2"]}
    book = read_body(body, code="speak", captions="skip")
    assert spoken(book) == ["Call run.", "x = 1\ny = 2"]
    assert skipped(book) == {"caption": ["Figure 1."]}


@pytest.mark.parametrize(
    "between", ["<hr/>", "<p>* * *</p>", "<p>#</p>", "<div>⁂</div>", "<p>&#160;</p>", "<p><br/></p>"]
)
def test_changes_of_scene_are_marked(between: str) -> None:
    text = "".join(f"<p>Paragraph {i}.</p>" for i in range(4))
    book = read_body(f"<h1>One</h1>{text}{between}<p>After.</p><p>Later.</p>")
    breaks = [block.text for block in all_blocks(book) if block.scene_break_before]
    assert breaks == ["After."]
    assert len(spoken(book)) == 7


def test_ornaments_are_counted_and_ellipses_are_spoken() -> None:
    book = read_body("<p>A.</p><p>* * *</p><p>“…”</p><p>What?</p>")
    assert skipped(book) == {"ornament": ["* * *"]}
    assert spoken(book) == ["A.", "“…”", "What?"]


def test_empty_paragraphs_everywhere_are_spacing() -> None:
    book = read_body("".join(f"<p>Paragraph {i}.</p><p>&#160;</p>" for i in range(5)))
    assert not any(block.scene_break_before for block in all_blocks(book))


def test_blocks_in_another_language_say_so() -> None:
    book = read_body(
        '<p>English with <i lang="fr">un mot</i> inside of it.</p><p xml:lang="fr">Une phrase entière.</p>'
        '<p><span lang="de">Ein ganzer Satz.</span></p><p>هذا نص عربي.</p><p lang="en-GB">Colour.</p>'
    )
    assert [block.language for block in all_blocks(book)] == ["", "fr", "de", "ar", ""]


def test_the_language_of_the_settings_wins_over_that_of_the_documents() -> None:
    body = '<p>نص عربي.</p><p xml:lang="fr">Une phrase.</p>'
    book = read_epub(AudiobookSettings(language="ar"), documents={"a.xhtml": body}, language="en", nav=None)
    assert [block.language for block in all_blocks(book)] == ["", "fr"]
    assert book.language == "en"


@pytest.mark.parametrize("language", ["", "und"])
def test_the_language_is_found_where_the_package_does_not_say(language: str) -> None:
    def language_of(body: str) -> str:
        document = f'<html xmlns="http://www.w3.org/1999/xhtml">{body}</html>'
        return read_epub(language=language, documents={"a.xhtml": document}, nav=None).language

    assert language_of('<body xml:lang="fr"><p>Oui.</p></body>') == "fr"
    assert language_of("<body><p>كان يا ما كان.</p></body>") == "ar"
    assert language_of("<body><p>Once.</p></body>") == ""


def test_lines_of_other_voices_are_paragraphs() -> None:
    book = read_body("<p>They met.<br/>[Anna]: Hello.<br/>\n[Ben]: Hi<br/>there.</p>")
    assert spoken(book) == ["They met.", "[Anna]: Hello.", "[Ben]: Hi there."]


def test_an_arabic_book_is_read_in_its_order() -> None:
    book = read_epub(
        title="كتاب",
        authors=("طه حسين",),
        language="ar",
        right_to_left=True,
        documents={
            "a.xhtml": '<h1>الفصل الأول</h1><p dir="rtl">قال: «<span class="dropcap">ت</span>عال\u200f».</p>',
            "b.xhtml": "<h1>الفصل الثاني</h1><p>نهاية القصة.</p>",
        },
    )
    assert (book.title, book.authors, book.language) == ("كتاب", ("طه حسين",), "ar")
    assert [chapter.title for chapter in book.chapters] == ["الفصل الأول", "الفصل الثاني"]
    assert spoken(book) == ["الفصل الأول", "قال: «تعال».", "الفصل الثاني", "نهاية القصة."]
    assert not any(block.language for block in all_blocks(book))


def test_deeply_nested_elements_are_read() -> None:
    deep = "<div>" * 1_500 + "deep" + "</div>" * 1_500
    assert spoken(read_body(f"<p>Before.</p>{deep}")) == ["Before.", "deep"]


@pytest.mark.parametrize(
    "table",
    ["<table><tr><td><p>Prose.</p><p>More.</p></td></tr></table>",
     "<table><tr><td>Prose.</td></tr><tr><td>More.</td></tr></table>"],
)  # fmt: skip
def test_tables_of_one_column_are_layout(table: str) -> None:
    book = read_body(f"<p>Before.</p>{table}<table><tr><td>1</td><td>2</td></tr></table>")
    assert spoken(book) == ["Before.", "Prose.", "More."]
    assert skipped(book) == {"table": ["1\n2"]}
    wide = read_body(f"<table><tr><td>1</td><td>{'Long prose. ' * 40}</td></tr></table>")
    assert len(spoken(wide)[-1]) > 400


def test_raised_figures_are_marks_after_words_and_powers_after_figures() -> None:
    book = read_body(
        "<p>He left.<sup>1</sup> She stayed<sup>2</sup> on 10<sup>6</sup> m or 5 km<sup>2</sup>, x<sup>2</sup>, "
        "the 1<sup>st</sup>, H<sub>2</sub>O, <b>word</b><sup>*</sup>.</p>"
    )
    assert spoken(book) == ["He left. She stayed on 10⁶ m or 5 km², x², the 1st, H2O, word."]
    assert skipped(book) == {"note_mark": ["*", "¹", "²"]}


def test_two_line_breaks_end_a_paragraph() -> None:
    book = read_body(
        "<div>First.<br/><br/>Second,<br/>still.<br/> <br/>Third.</div><div><b>Chapter 3</b><br/>Text.</div>"
    )
    assert spoken(book) == ["First.", "Second, still.", "Third.", "Chapter 3", "Text."]
    assert spoken(read_body('<p class="verse">One<br/><br/>Two</p>')) == ["One\nTwo"]


def test_letters_with_spaces_between_them_are_words() -> None:
    book = read_body("<p>C H A P T E R&#160; O N E</p><p>T H E \u00a0 S E A</p><p>P R O L O G U E</p><p>A B C D E</p>")
    assert spoken(book) == ["CHAPTER ONE", "THE SEA", "PROLOGUE", "A B C D E"]


def test_verses_inside_of_a_stanza_are_its_lines() -> None:
    book = read_body(
        '<div class="poetry"><div class="stanza"><div class="verse">One,</div><div class="verse">two.</div></div></div>'
    )
    assert spoken(book) == ["One,\ntwo."]
    assert spoken(read_body('<p class="verse">One<br/>two</p>')) == ["One\ntwo"]


def test_a_word_divided_at_a_line_break_loses_its_hyphen_if_the_book_has_it_without_one() -> None:
    book = read_body("<p>A con-<br/>versation of well-<br/>known men.</p><p>The conversation was well-known.</p>")
    assert spoken(book)[0] == "A conversation of well-known men."
    assert skipped(book) == {"hyphenation": ["-"]}


def test_page_breaks_of_indented_documents_are_read() -> None:
    body = f'<div epub:type="pagebreak">{" " * 40}<p>A whole page of the book is in here.</p></div>'
    assert spoken(read_body(body)) == ["A whole page of the book is in here."]
    assert spoken(read_body('<p>He <span epub:type="pagebreak">left us.</span></p>')) == ["He left us."]
    assert spoken(read_body('<p>He <span epub:type="pagebreak">Page xii</span>left.</p>')) == ["He left."]


def test_pictures_of_ornaments_change_the_scene() -> None:
    for alternative in ("* * *", "ornament", "Scene break"):
        book = read_body(f'<p>One.</p><p><img src="o.png" alt="{alternative}"/></p><p>Two.</p><p>Three.</p>')
        assert [block.text for block in all_blocks(book) if block.scene_break_before] == ["Two."]
    book = read_body('<p>One.</p><p><img src="o.png" alt=""/></p><p><img src="o.png" alt="A map"/></p><p>Two.</p>')
    assert not any(block.scene_break_before for block in all_blocks(book))


def test_text_for_screen_readers_and_links_to_the_contents_are_not_spoken() -> None:
    book = read_body(
        '<p>Read <span class="sr-only">out</span>this <span class="page">[25]</span>page.</p>'
        '<p><a href="#toc">[Back to the Contents]</a></p>'
    )
    assert spoken(book) == ["Read this page."]
    assert skipped(book) == {"hidden": ["out"], "page_number": ["[25]"], "contents": ["[Back to the Contents]"]}
