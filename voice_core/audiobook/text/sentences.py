"""Sentences, and the clauses of sentences that are too long to be spoken at once."""

import re
import unicodedata
from itertools import pairwise

import sentencex

from voice_core.audiobook.text.edits import Span
from voice_core.language import primary_subtag

# Quotation marks become spaces of the same length, so that the sentences inside a long quote are found.
_QUOTES = str.maketrans(dict.fromkeys('"“”„‟«»‹›「」『』', " "))
_NO_SENTENCE_END = {
    "ar": re.compile(r"(?:^|(?<!\d)[^\w])[وفبل]?[\u0621-\u064a]\.(?:[\u0621-\u064a]\.)*\s*$"),
    "en": re.compile(r"\b(?:Mr|Mrs|Ms|Dr|Messrs|Mmes?|Mlle|Rev|Hon|Prof|Capt|Col|Gen|Lt|Sgt|St|Thos|Wm|Chas)\.\s*$"),
}
_BEFORE_NUMBER = re.compile(r"(?:\b(?:vols?|chaps?|ch|nos?|figs?|pp?|sec|bk|apt|art)|£\d+ \d+s|\b\d{1,2}s)\.\s*$", re.I)
_NUMBER = re.compile(r"[\d#]|[ivxlcIVXLC]+\b(?!['’])")
# "Main St. He turned": after the name of a street, a word that hardly is a saint's name begins a sentence.
_STREET = re.compile(r"(?:\b[A-Z][a-z]+|\d(?:st|nd|rd|th))\sSt\.\s*$")
_STARTER = re.compile(
    r"[\"“‘'(\[]?(?:I|He|She|It|We|You|They|There|This|That|These|Those|The|Then|But|And|So|When|What|Who|Why|How|His|Her|"
    r"Their|My|Our|Your|Now|Here|Not|No|If|As|At|In|On|For|After|Before|While)\b"
)
# "He said no. I left", "Wait a sec. I come": the words are no abbreviations, and "I" is no numeral.
_WORD_END = re.compile(r"\b(?:no|sec|art)\.\s+(?=I\s(?!of\b|and\b|to\b)[a-z])", re.I)
_GOES_ON = re.compile(r"[\"“‘'(\[]?[a-z]")  # no sentence begins with a small letter
_STOP = re.compile(r"(?<!\.)\.[)\]]?\s+$")
_LONGEST_TITLE = 24  # characters at a sentence's end that are looked at
_STRONG = re.compile(
    r"(?:[;:؛；：][\"”’»)\]]*(?=\s)|[；：。！？]|[—–](?!\d)|-{2,}|(?<=\s)-(?=\s)|\n|[!?…؟][\"”’»)\]]*(?=\s))\s*"
)
_WEAK = re.compile(r"(?:[,،][\"”’»)\]]*(?=\s)|[，、])\s*")
_SPACE = re.compile(r"\s+")
_SHORTEST = 0.3  # of the limit: a part is not shorter for the sake of a better boundary


def split_sentences(text: str, language: str, limit: int = 0) -> list[Span]:
    """The sentences of a text, which together cover it up to white space.

    A quote belongs to one sentence; one that is longer than `limit` characters is split at the sentences inside it.

    >>> [text[a:b] for text in ["“Go! I stay.” He left."] for a, b in split_sentences(text, "en")]
    ['“Go! I stay.”', 'He left.']
    >>> [text[a:b] for text in ["“Go! I stay.” He left."] for a, b in split_sentences(text, "en", 10)]
    ['“Go!', 'I stay.”', 'He left.']
    """
    spans: list[Span] = []
    for start, end in _find_boundaries(text, language):
        if limit and end - start > limit:
            inner = text[start:end].translate(_QUOTES)
            pieces = [(start + a, start + b) for a, b in _find_boundaries(inner, language)]
            spans += _attach_punctuation(text, pieces)
        else:
            spans.append((start, end))
    return [span for span in (trim(text, *span) for span in _attach_punctuation(text, spans)) if span[0] < span[1]]


def _find_boundaries(text: str, language: str) -> list[Span]:
    """Spans that cover the text without gaps."""
    primary = primary_subtag(language)
    found = [item["text"] for item in sentencex.get_sentence_boundaries(primary, text)]
    if "".join(found) != text:
        return [(0, len(text))] if text else []
    if primary in _NO_SENTENCE_END:
        found = _join_abbreviations(found, primary)
    if primary == "en":
        found = [part for sentence in found for part in _split_at_words(sentence)]
    spans: list[Span] = []
    at = 0
    for sentence in found:
        spans.append((at, at + len(sentence)))
        at += len(sentence)
    return spans


def _join_abbreviations(sentences: list[str], language: str) -> list[str]:
    """Titles, and initials such as those of "أ.د. أحمد", do not end a sentence, nor does a stop before a small letter,
    nor "Vol." before a number."""
    joined: list[str] = []
    for sentence in sentences:
        if joined and "\n" not in joined[-1][-2:] and _is_joined(joined[-1][-_LONGEST_TITLE:], sentence, language):
            joined[-1] += sentence
        else:
            joined.append(sentence)
    return joined


def _split_at_words(sentence: str) -> list[str]:
    """A sentence at the words that only look like abbreviations."""
    found = (match.end() for match in _WORD_END.finditer(sentence))
    cuts = [0, *(at for at in found if not _is_in_quote(sentence[:at])), len(sentence)]
    return [sentence[start:end] for start, end in pairwise(cuts)]


def _is_in_quote(before: str) -> bool:
    return before.count("“") > before.count("”") or before.count('"') % 2 == 1


def _is_joined(before: str, after: str, language: str) -> bool:
    """Whether the end `before` of a sentence is none, since `after` goes on with it."""
    if _NO_SENTENCE_END[language].search(before):
        return not (_STREET.search(before) and _STARTER.match(after))
    if language == "ar":  # "ر.س": initials without a space between them
        return bool(re.search(r"[\u0621-\u064a]\.$", before)) and after[:1].isalpha()
    if _BEFORE_NUMBER.search(before) and _NUMBER.match(after):
        return True
    return bool(_STOP.search(before) and _GOES_ON.match(after))


def _attach_punctuation(text: str, spans: list[Span]) -> list[Span]:
    """A span without a letter or digit becomes a part of the span before it, else of the one after it; closing marks
    go to the sentence that they close."""
    result: list[Span] = []
    ahead: int | None = None
    for start, end in spans:
        if not has_words(text[start:end]):
            if result:
                result[-1] = result[-1][0], end
            elif ahead is None:
                ahead = start
            continue
        begin, ahead = (start if ahead is None else ahead), None
        while result and begin < end and (text[begin].isspace() or text[begin] in "”’»›)]」』"):
            begin += 1
        if result:
            result[-1] = result[-1][0], begin
        result.append((begin, end))
    if not result and spans:
        return [(spans[0][0], spans[-1][1])]
    return result


def has_words(text: str) -> bool:
    return any(map(str.isalnum, text))


def trim(text: str, start: int, end: int) -> Span:
    """The span without white space at its ends."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def split_long(text: str, start: int, end: int, limit: int) -> list[Span]:
    """A part of a text in parts of at most `limit` characters: at the ends of sentences and clauses, else between
    words, else anywhere.

    >>> text = "She came; he, who had waited, went away."
    >>> [text[a:b] for a, b in split_long(text, 0, len(text), 22)]
    ['She came;', 'he, who had waited,', 'went away.']
    """
    spans: list[Span] = []
    start, end = trim(text, start, end)
    while end - start > limit:
        cut = _find_cut(text, start, end, limit)
        spans.append(trim(text, start, cut))
        start = trim(text, cut, end)[0]
    if start < end:
        spans.append((start, end))
    return spans


def _find_cut(text: str, start: int, end: int, limit: int) -> int:
    count = -(-(end - start) // limit)
    ideal = start + (end - start) / count
    first, last = start + max(1, int(_SHORTEST * limit)), start + limit
    until = min(end, last + 2)  # a boundary within the limit, and the white space after it
    for pattern, earliest in ((_STRONG, first), (_WEAK, first), (_SPACE, start + 1)):
        cuts = [
            match.end() for match in pattern.finditer(text, start, until) if earliest <= _visible_end(match) <= last
        ]
        cuts = [cut for cut in cuts if has_words(text[start:cut]) and has_words(text[cut : min(end, cut + limit)])]
        if cuts:
            return min(cuts, key=lambda cut: (abs(cut - ideal), cut))
    cut = last
    while cut > start + 1 and unicodedata.combining(text[cut]):
        cut -= 1
    return cut


def _visible_end(match: re.Match[str]) -> int:
    return match.start() + len(match[0].rstrip())
