"""Errors as they are shown to people.

The messages of this project's errors, and of the plain errors that it raises, stand alone: the name of the class adds
nothing. Errors of libraries keep it.
"""

import re

_OWN_PACKAGES = ("voice_core", "voice_assets", "voice_studio", "resources")
_PLAIN = (ValueError, LookupError, RuntimeError)
_NAMES = [rf"(?:{'|'.join(_OWN_PACKAGES)})\.[\w.]+", r"dagster\.[\w.]+\.Failure", *(kind.__name__ for kind in _PLAIN)]
_CLASS_NAME = re.compile(rf"(?:{'|'.join(_NAMES)}): ")


def describe_exception(error: BaseException) -> str:
    """The message of an error, after the name of its class where that is not one of this project's.

    >>> describe_exception(LookupError("there is no batch")), describe_exception(OSError("it is gone"))
    ('there is no batch', 'OSError: it is gone')
    """
    kind, message = type(error), str(error)
    stands_alone = kind in _PLAIN or kind.__module__.partition(".")[0] in _OWN_PACKAGES
    return message if stands_alone and message else f"{kind.__name__}: {message}"


def drop_class_name(text: str) -> str:
    """An error as `traceback` formats it, without the name of a class of this project.

    >>> drop_class_name("voice_core.storage.errors.StoreError: get a: refused"), drop_class_name("OSError: it is gone")
    ('get a: refused', 'OSError: it is gone')
    """
    found = _CLASS_NAME.match(text)
    return text[found.end() :] if found and found.end() < len(text) else text
