"""Small pictures, made with PyAV."""

import io
import struct
import zlib

import av
import numpy as np


def make_picture(codec: str) -> bytes:
    """A picture of 64 × 64 pixels: "mjpeg" or "png"."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, 20:40] = (200, 80, 40)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="image2pipe") as container:
        stream = container.add_stream(codec, rate=1)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def make_png(width: int, height: int) -> bytes:
    """A black PNG of any size, small as a file."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes((3 * width + 1) * height), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
