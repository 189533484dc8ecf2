"""Codes of languages (BCP-47), and the grammar of messages."""


def primary(language: str) -> str:
    """A language without its country or script; nothing of nothing.

    >>> primary("en-GB"), primary("zh_CN"), primary("enm"), primary("")
    ('en', 'zh', 'enm', '')
    """
    return language.replace("_", "-").split("-")[0].lower()


def count(number: int, noun: str) -> str:
    """A number of things, in words for people.

    >>> count(1, "channel"), count(2_000, "channel"), count(3, "batch")
    ('1 channel', '2,000 channels', '3 batches')
    """
    ending = "" if number == 1 else "es" if noun.endswith(("ch", "s")) else "s"
    return f"{number:,} {noun}{ending}"
