"""The codecs by name. A codec is one module and one entry here; its module is imported when it is asked for."""

import functools
from collections.abc import Callable

from voice_core.codecs.base import Codec
from voice_core.settings import NeuCodecSettings


def _melvq(_: NeuCodecSettings) -> Codec:
    from voice_core.codecs.melvq import MelVQ

    return MelVQ()


def _neucodec(settings: NeuCodecSettings) -> Codec:
    from voice_core.codecs.neucodec import NeuCodec

    return NeuCodec(settings)


CODECS: dict[str, Callable[[NeuCodecSettings], Codec]] = {"melvq": _melvq, "neucodec": _neucodec}


def load_codec(name: str, settings: NeuCodecSettings | None = None) -> Codec:
    """The codec called `name`, made once a process; `settings` are for the one that has any.

    Another is made once the files of a folder of weights have changed: a codec's revision never does. Raises ValueError
    for a name that is not in `CODECS`, and whatever the codec raises when it cannot load (`CodecUnavailableError` where
    a package or weights are missing).
    """
    if name not in CODECS:
        known = ", ".join(sorted(CODECS))
        raise ValueError(f'Unknown codec "{name}". Known: {known} (or "none" for a dataset without codes).')
    settings = settings or NeuCodecSettings()  # type: ignore[call-arg]
    return cached_codec(name, settings, _stamps(settings.checkpoint) if name == "neucodec" else ())


@functools.lru_cache(maxsize=8)
def cached_codec(name: str, settings: NeuCodecSettings, _: tuple[object, ...]) -> Codec:
    return CODECS[name](settings)


def _stamps(checkpoint: str) -> tuple[object, ...]:
    from voice_core.codecs.neucodec.checkpoint import file_stamps

    return file_stamps(checkpoint)
