"""NeuCodec on CPU or GPU: the reference's codes, faster."""

from voice_core.codecs.neucodec.codec import NeuCodec

__all__ = ["NeuCodec"]
