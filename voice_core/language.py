"""What codes of languages (BCP-47) say."""


def primary(language: str) -> str:
    """A language without its country or script; nothing of nothing.

    >>> primary("en-GB"), primary("zh_CN"), primary("enm"), primary("")
    ('en', 'zh', 'enm', '')
    """
    return language.replace("_", "-").split("-")[0].lower()
