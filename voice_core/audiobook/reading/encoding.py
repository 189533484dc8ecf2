"""Bytes of a document or text file to text, in whatever encoding they are."""

import codecs
import re

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CANDIDATES = ["cp1256", "cp1251", "cp1253", "cp1255", "cp1252", "gb18030", "shift_jis", "big5", "euc_kr"]
_FEW_HIGH_BYTES = 0.1  # below this share, a text is of a Latin script: others need high bytes for every letter
_DECLARED = re.compile(
    rb"""<\?xml[^>]*?encoding\s*=\s*["']([\w.:-]+)["']|<meta[^>]*?charset\s*=\s*["']?\s*([\w.:-]+)""", re.I
)
_DECLARED_WITHIN = 2048


def decode(data: bytes, name: str) -> tuple[str, list[str]]:
    """The text of `data`, and warnings, which begin with `name`.

    The order: a byte order mark, UTF-16 without one, UTF-8, the encoding that the document declares, a guess. UTF-8
    precedes the declaration, since text in another encoding is hardly ever valid UTF-8, but declarations are often
    wrong.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _decode_known(data, encoding, name)
    if b"\0" in data and (encoding := _utf16_order(data)):
        return _decode_known(data, encoding, name)
    try:
        return data.decode("utf-8"), []
    except UnicodeDecodeError:
        pass
    if declared := _declared_encoding(data):
        try:
            return data.decode(declared), []
        except (UnicodeDecodeError, LookupError):
            pass
    guessed = _guess(data)
    text, warnings = _decode_known(data, guessed, name)
    why = f"it declares {declared}, but is not" if declared else "it does not say"
    return text, [f"{name}: the encoding is taken to be {guessed} ({why})", *warnings]


def _decode_known(data: bytes, encoding: str, name: str) -> tuple[str, list[str]]:
    try:
        return data.decode(encoding), []
    except UnicodeDecodeError as error:
        text = data.decode(encoding, "replace")
        return text, [f"{name}: byte {error.start} is not {encoding}; such bytes were replaced by U+FFFD"]


def _utf16_order(data: bytes) -> str:
    """UTF-16 in the order in which more spaces, line ends and signs of markup are found; "" where there are none."""
    sample = data[: 1 << 16]
    signs = b" \n<>."
    little = sum(sample[i] in signs and sample[i + 1] == 0 for i in range(0, len(sample) - 1, 2))
    big = sum(sample[i] == 0 and sample[i + 1] in signs for i in range(0, len(sample) - 1, 2))
    if little == big:
        return ""
    return "utf-16-le" if little > big else "utf-16-be"


def _declared_encoding(data: bytes) -> str:
    found = _DECLARED.search(data, 0, _DECLARED_WITHIN)
    name = (found[1] or found[2]).decode("ascii") if found else ""
    try:
        known = codecs.lookup(name).name if name else ""
    except LookupError:
        return ""
    return "" if known.startswith(("utf-16", "utf-32")) else name  # without a mark or NULs it is neither


def _guess(data: bytes) -> str:
    if sum(byte > 127 for byte in data) >= _FEW_HIGH_BYTES * len(data):
        from charset_normalizer import from_bytes  # takes a tenth of a second, and few books need it

        best = from_bytes(data, cp_isolation=_CANDIDATES).best()
        if best is not None:
            return best.encoding
    return "cp1252"
