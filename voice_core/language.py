"""Language codes (BCP-47), and plurals in messages."""


def primary_subtag(language: str) -> str:
    """The language of a BCP-47 code, without country and script; "" for "".

    >>> primary_subtag("en-GB"), primary_subtag("zh_CN"), primary_subtag("enm"), primary_subtag("")
    ('en', 'zh', 'enm', '')
    """
    return language.replace("_", "-").split("-")[0].lower()


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
