"""Size limits of segment files, checked by their headers before anything is unpacked."""

import math
import os
import struct
import zipfile
from collections.abc import Iterable
from typing import IO

import numpy as np

MAX_FILE_BYTES = 64 << 20
"""Size of the archive: ten minutes of float32 at 24 kHz have 58 MB."""
_SMALL_BYTES = 16 << 20  # the array headers of smaller archives are not checked
_MAX_ARRAY_BYTES = 128 << 20
_MAX_SAMPLES = 30_000_000  # ten minutes at 48 kHz
_MAX_TEXT_BYTES = 1 << 20
_MAX_MEMBERS = 64
_MAX_DIRECTORY_BYTES = 64 << 10
_END = struct.Struct("<4s4H2LH")  # the zip format's end of central directory record
_END_BYTES = _END.size + (1 << 16)  # a comment may follow it


def check_archive(source: IO[bytes], names: Iterable[str], optional: Iterable[str] = ()) -> None:
    """Raise `ValueError` if an archive unpacks to more than a segment can have. Also raises what `zipfile` raises.

    `names` are the arrays that are read, `optional` those that are read if the archive has them.
    """
    with _opened(source) as archive:
        sizes = sum(item.file_size for item in archive.infolist())  # zipfile never unpacks more than this
        present = {item.filename.removesuffix(".npy") for item in archive.infolist()}
        for name in (*names, *(name for name in optional if name in present)):
            member = _member(archive, name)
            if sizes > _SMALL_BYTES:
                _check_array(archive, name, member)


def count_samples(source: IO[bytes]) -> int:
    """The number of elements of `audio` by its header. Raises as `check_archive`."""
    with _opened(source) as archive:
        return _check_array(archive, "audio", _member(archive, "audio"))


def _opened(source: IO[bytes]) -> zipfile.ZipFile:
    _check_directory(source)
    archive = zipfile.ZipFile(source)
    names = archive.namelist()
    if len(names) > _MAX_MEMBERS:
        raise ValueError(f"it has {len(names)} members; the limit is {_MAX_MEMBERS}")
    if len({name.removesuffix(".npy") for name in names}) < len(names):
        raise ValueError("two of its members have the same name")
    return archive


def _member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    member = next((item for item in archive.infolist() if item.filename.removesuffix(".npy") == name), None)
    if member is None:
        raise ValueError(f"{name} is missing")
    return member


def _check_directory(source: IO[bytes]) -> None:
    """Raise `ValueError` for a large directory: `zipfile` reads all of it."""
    size = source.seek(0, os.SEEK_END)
    source.seek(max(0, size - _END_BYTES))
    tail = source.read(_END_BYTES)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise ValueError("it is not a zip archive")
    directory_bytes = _END.unpack_from(tail, at)[5]
    if directory_bytes > _MAX_DIRECTORY_BYTES:
        raise ValueError(f"its directory has {directory_bytes:,} bytes; the limit is {_MAX_DIRECTORY_BYTES:,}")
    source.seek(0)


def _check_array(archive: zipfile.ZipFile, name: str, member: zipfile.ZipInfo) -> int:
    with archive.open(member) as file:
        try:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
        except (ValueError, EOFError) as error:
            raise ValueError(f"{name} is not an array: {error}") from None
    count = math.prod(shape)
    if dtype.hasobject:
        raise ValueError(f"{name} contains Python objects, which are never loaded")
    most = _MAX_ARRAY_BYTES if name in ("audio", "codes") else _MAX_TEXT_BYTES
    unpacked = max(count * dtype.itemsize, member.file_size)
    if unpacked > most:
        raise ValueError(f"{name} unpacks to {unpacked:,} bytes; the limit is {most:,}")
    if count > _MAX_SAMPLES:
        raise ValueError(f"{name} has {count:,} elements; the limit is {_MAX_SAMPLES:,}")
    return count
