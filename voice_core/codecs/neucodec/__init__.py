"""NeuCodec on CPU or GPU: the reference's codes, faster."""

from voice_core.codecs.declaration import CodecDeclaration
from voice_core.codecs.neucodec.checkpoint import INSTALL, file_stamps
from voice_core.codecs.neucodec.codec import NeuCodec
from voice_core.settings import NeuCodecSettings

__all__ = ["CODEC", "NeuCodec"]


def _file_versions(settings: NeuCodecSettings) -> tuple[object, ...]:
    return file_stamps(settings.checkpoint)


CODEC = CodecDeclaration("neucodec", NeuCodec, settings=NeuCodecSettings, install=INSTALL, file_versions=_file_versions)
