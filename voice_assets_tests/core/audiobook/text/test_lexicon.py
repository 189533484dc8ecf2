"""The lexicon: whole words, the longest first, by language, book and voice; PLS as well as TOML."""

from pathlib import Path

import pytest

from voice_assets_tests.core.audiobook.text.conftest import ANY_LANGUAGE, FakeSpeaker, chunk, spoken
from voice_core.audiobook.text import LexiconError, load_lexicon, parse_lexicon
from voice_core.audiobook.text.lexicon import Lexicon
from voice_core.settings import ConfigurationError


def toml(*entries: str) -> Lexicon:
    """A lexicon of entries such as 'word = "a"; respell = "b"'."""
    text = "\n".join("[[entry]]\n" + entry.replace("; ", "\n") for entry in entries)
    return parse_lexicon(text.encode(), "words.toml")


def test_whole_words_and_the_longest_first() -> None:
    lexicon = toml(
        'word = "Dale"; respell = "Dayl"',
        'word = "New Dale"; respell = "Noodle"',
        'word = "read"; respell = "red"',
    )
    assert spoken(chunk("Dale’s Dales: New  Dale, NEW DALE, dale. Read, READ, reader.", lexicon=lexicon)) == [
        "Dayl’s Dales: Noodle, Noodle, dale. red, red, reader."
    ]


def test_entries_are_for_a_language_a_book_or_a_voice() -> None:
    lexicon = toml(
        'word = "Dale"; respell = "all"',
        'word = "Dale"; respell = "german"; language = "de"',
        'word = "Dale"; respell = "this book"; book = "The Book"',
        'word = "Dale"; respell = "other book"; book = "Other"',
        'word = "Dale"; respell = "low voice"; voice = "low"',
    )
    assert spoken(chunk("Dale", lexicon=lexicon)) == ["this book"]
    assert spoken(chunk("Dale", lexicon=lexicon, voice="low")) == ["low voice"]
    assert spoken(chunk("[Ann]: Dale", "Dale", lexicon=lexicon, voices={"Ann": "low"})) == ["low voice", "this book"]
    without_book = Lexicon(tuple(entry for entry in lexicon.entries if not entry.book))
    assert spoken(chunk("Dale", lexicon=without_book, speaker=ANY_LANGUAGE, language="de-AT")) == ["german"]
    assert spoken(chunk("Dale", lexicon=without_book)) == ["all"]


def test_a_word_of_the_lexicon_is_not_normalised_and_its_neighbours_are() -> None:
    lexicon = toml('word = "March"; respell = "Marsh"', 'word = "Henry"; respell = "Enry"')
    assert spoken(chunk("On 12 March 1813 Henry VIII paid $5.", lexicon=lexicon)) == [
        "On twelve Marsh eighteen thirteen Enry the eighth paid five dollars."
    ]


def test_phonemes_need_an_engine_that_takes_them() -> None:
    lexicon = toml('word = "Dale"; phonemes = "/dAl/"', 'word = "dale"; respell = "dayl"')
    assert spoken(chunk("To Dale.", lexicon=lexicon)) == ["To [Dale](/dAl/)."]
    assert spoken(chunk("To Dale.", lexicon=lexicon, speaker=FakeSpeaker(inline_phonemes=False))) == ["To dayl."]


def test_a_changed_entry_changes_only_the_chunks_with_its_word() -> None:
    blocks = ["Dale came.", "Nobody else came.", "Then Dale left."]
    before = chunk(*blocks, lexicon=toml('word = "Dale"; respell = "a"', 'word = "came"; respell = "kame"'))
    after = chunk(*blocks, lexicon=toml('word = "Dale"; respell = "b"', 'word = "came"; respell = "kame"'))
    changed = [index for index, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    assert changed == [0, 2]
    assert [row.text for row in before] == [row.text for row in after]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = [", r"a\.toml is not TOML"),
        ("entries = 1", r"a\.toml: unknown key 'entries'"),
        ("entry = 1", r"a\.toml: entry must be a list of tables"),
        ("[[entry]]\nrespell = 'b'", r"a\.toml: entry 1 has no word"),
        ("[[entry]]\nword = '–'\nrespell = 'b'", r"a\.toml: entry 1 has no word"),
        (
            "[[entry]]\nword = 'a'\nrespel = 'b'",
            r"a\.toml: entry 1 \('a'\): unknown key 'respel'; an entry has word",
        ),
        ("[[entry]]\nword = 'a'\nrespell = 1", r"entry 1 \('a'\): respell must be a text that is not empty, not 1"),
        ("[[entry]]\nword = 'a'", r"entry 1 \('a'\) must have either respell or phonemes"),
        ("[[entry]]\nword = 'a'\nrespell = 'b'\nphonemes = 'b'", "must have either respell or phonemes"),
        ("[[entry]]\nword = 'a'\nrespell = 'b](c'", r"entry 1 \('a'\): '\(' is not allowed in 'b\]\(c'"),
        ("[[entry]]\nword = 'a'\nrespell = '…'", "has no letter or digit"),
        (
            "[[entry]]\nword = 'a'\nrespell = 'b'\n[[entry]]\nword = 'a'\nrespell = 'c'",
            r"a\.toml: entry 2 \('a'\) has the same word, language, book and voice as entry 1",
        ),
    ],
)
def test_mistakes_name_the_file_and_the_entry(text: str, message: str) -> None:
    with pytest.raises(LexiconError, match=message):
        parse_lexicon(text.encode(), "a.toml")


PLS = """<?xml version="1.0" encoding="UTF-8"?>
<lexicon version="1.0" alphabet="ipa" xml:lang="en" xmlns="http://www.w3.org/2005/01/pronunciation-lexicon">
  <lexeme><grapheme>Dale</grapheme><grapheme>Dail</grapheme><phoneme>dAl</phoneme></lexeme>
  <lexeme xml:lang="de"><grapheme>W3C</grapheme><alias>no</alias><alias prefer="true">World Wide Web</alias></lexeme>
</lexicon>"""


def test_pls_files(tmp_path: Path) -> None:
    file = tmp_path / "words.pls"
    file.write_text(PLS, "utf-8")
    lexicon = load_lexicon(str(file))
    assert [(entry.word, entry.phonemes, entry.respell, entry.language) for entry in lexicon.entries] == [
        ("Dale", "dAl", "", "en"),
        ("Dail", "dAl", "", "en"),
        ("W3C", "", "World Wide Web", "de"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLS[:-5], "is not XML"),
        (
            PLS.replace("<lexicon", '<!DOCTYPE lexicon [<!ENTITY a SYSTEM "a.txt">]><lexicon', 1),
            "a DOCTYPE",
        ),
        (PLS.replace("pronunciation-lexicon", "other"), "is not a lexicon of the namespace"),
        (PLS.replace("<phoneme>dAl</phoneme>", ""), "line 3: a lexeme needs a grapheme, and a phoneme or an alias"),
    ],
)
def test_damaged_pls_files(text: str, message: str) -> None:
    with pytest.raises(LexiconError, match=message):
        parse_lexicon(text.encode(), "a.pls")


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"audiobook\.lexicon: .*none\.toml cannot be read"):
        load_lexicon(str(tmp_path / "none.toml"))
    assert load_lexicon("") == Lexicon()
