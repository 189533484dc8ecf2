"""Language codes (BCP-47), and plurals in messages."""


def primary_subtag(language: str) -> str:
    """The language of a BCP-47 code, without country and script; "" for "".

    >>> primary_subtag("en-GB"), primary_subtag("zh_CN"), primary_subtag("enm"), primary_subtag("")
    ('en', 'zh', 'enm', '')
    """
    return language.replace("_", "-").split("-")[0].lower()


_RIGHT_TO_LEFT = {"ar", "arc", "ckb", "dv", "fa", "he", "ks", "ps", "sd", "syr", "ug", "ur", "yi"}


def text_direction(language: str) -> str:
    """
    >>> text_direction("ar-EG"), text_direction("en")
    ('rtl', 'ltr')
    """
    return "rtl" if primary_subtag(language) in _RIGHT_TO_LEFT else "ltr"


_NOT_NAMED = frozenset({"", "und", "mul", "zxx", "mis"})  # undetermined, several, none, without a code


def names_language(language: str) -> bool:
    """Whether a BCP-47 code names a language.

    >>> names_language("ar-EG"), names_language("und"), names_language("")
    (True, False, False)
    """
    return primary_subtag(language) not in _NOT_NAMED


_SHORT_CODES = {
    "ara": "ar",
    "deu": "de",
    "ger": "de",
    "eng": "en",
    "spa": "es",
    "fas": "fa",
    "per": "fa",
    "fra": "fr",
    "fre": "fr",
    "heb": "he",
    "hin": "hi",
    "ita": "it",
    "jpn": "ja",
    "kor": "ko",
    "nld": "nl",
    "dut": "nl",
    "pol": "pl",
    "por": "pt",
    "rus": "ru",
    "swe": "sv",
    "tur": "tr",
    "ukr": "uk",
    "urd": "ur",
    "zho": "zh",
    "chi": "zh",
    "english": "en",
    "arabic": "ar",
    "french": "fr",
    "german": "de",
    "spanish": "es",
}


def short_language_code(language: str) -> str:
    """A language code with the two-letter code of its language where there is one, as BCP-47 wants it.

    >>> short_language_code("eng"), short_language_code("ara-EG"), short_language_code("en_GB"), short_language_code("")
    ('en', 'ar-EG', 'en-GB', '')
    """
    first, *rest = language.strip().replace("_", "-").split("-")
    return "-".join([_SHORT_CODES.get(first.lower(), first), *rest])


def is_english(language: str) -> bool:
    """
    >>> is_english("en-GB"), is_english("enm"), is_english("ar")
    (True, False, False)
    """
    return primary_subtag(language) == "en"


def pluralize(number: int, noun: str) -> str:
    """A number and a noun, with the plural where needed.

    >>> pluralize(1, "channel"), pluralize(2_000, "channel"), pluralize(3, "batch")
    ('1 channel', '2,000 channels', '3 batches')
    """
    ending = "" if number == 1 else "es" if noun.endswith(("ch", "s")) else "s"
    return f"{number:,} {noun}{ending}"
