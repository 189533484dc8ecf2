"""The codecs by name. A codec is one module and one entry here; its module is imported when it is asked for."""

import functools
from collections.abc import Callable

from voice_core.codecs.base import Codec


def _melvq() -> Codec:
    from voice_core.codecs.melvq import MelVQ

    return MelVQ()


CODECS: dict[str, Callable[[], Codec]] = {"melvq": _melvq}


@functools.cache
def load_codec(name: str) -> Codec:
    """The codec called `name`, loaded once a process.

    Raises ValueError for a name that is not in `CODECS`, and whatever the codec raises when it cannot load
    (`CodecUnavailableError` where a package or weights are missing).
    """
    if name not in CODECS:
        known = ", ".join(sorted(CODECS))
        raise ValueError(f'Unknown codec "{name}". Known: {known} (or "none" for a dataset without codes).')
    return CODECS[name]()
