"""The zip of an EPUB, read with limits. Nothing is ever unpacked to a disk."""

import io
import lzma
import posixpath
import struct
import zipfile
import zlib
from urllib.parse import unquote, urlsplit

from voice_core.audiobook.model import BookError
from voice_core.audiobook.reading.documents import parse_xml

MAX_MEMBERS = 20_000
MAX_MEMBER_BYTES = 32 << 20
MAX_BYTES = 256 << 20
MIMETYPE = "application/epub+zip"
_ENCRYPTION = "META-INF/encryption.xml"
_OBFUSCATION = frozenset({"http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"})
"""Algorithms that only keep fonts from being copied out of the book."""
# All exceptions of zipfile for damaged archives, those with a password, and unknown compression.
_ERRORS = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, struct.error, ValueError, RuntimeError, IndexError,
    lzma.LZMAError,
)  # fmt: skip


class MissingMemberError(BookError):
    """The archive does not have a member."""


class TooLargeError(BookError):
    """A member is larger than the limit."""


class EpubArchive:
    """Members of an EPUB by name. Names match exactly, else without regard to case."""

    def __init__(self, data: bytes, name: str) -> None:
        """Raises `BookError` for what is not a zip, is encrypted or has too many members."""
        self.name = name
        self.warnings: list[str] = []
        self._left = MAX_BYTES
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except _ERRORS as error:
            what = "is truncated or damaged" if data.startswith(b"PK") else "is not a zip archive"
            raise BookError(f"{name}: the file {what}, so it cannot be read as an EPUB ({error})") from None
        members = [member for member in self._zip.infolist() if not member.is_dir()]
        if len(members) > MAX_MEMBERS:
            raise BookError(f"{name}: the archive has {len(members):,} members, the limit is {MAX_MEMBERS:,}")
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in members:
            if _is_outside(member.filename):
                self.warnings.append(f"{member.filename}: the name leads out of the archive; the member is ignored")
            else:
                self._members[member.filename.replace("\\", "/")] = member
        self._any_case = {key.casefold(): key for key in sorted(self._members, reverse=True)}
        self._check_mimetype()
        self._check_encryption()

    def names(self) -> list[str]:
        return list(self._members)

    def find(self, path: str) -> str | None:
        """The name of the member at a path; None where there is none."""
        return path if path in self._members else self._any_case.get(path.casefold())

    def resolve(self, base: str, href: str) -> tuple[str, str] | None:
        """The path and fragment that a link in the member `base` leads to; None for links out of the book."""
        try:
            parts = urlsplit(href.strip())
        except ValueError:
            return None
        if parts.scheme or parts.netloc:
            return None
        folder = posixpath.dirname(base)
        fragment = unquote(parts.fragment)
        if not parts.path:
            return base, fragment
        for path in (unquote(parts.path), parts.path):
            joined = posixpath.normpath(posixpath.join("/" if path.startswith("/") else f"/{folder}", path)).lstrip("/")
            if found := self.find(joined):
                return found, fragment
        return posixpath.normpath(posixpath.join(f"/{folder}", unquote(parts.path))).lstrip("/"), fragment

    def read(self, path: str, limit: int = MAX_MEMBER_BYTES) -> bytes:
        """The bytes of a member. Raises `BookError`: for a missing member, a large or damaged one."""
        found = self.find(path)
        if found is None:
            raise MissingMemberError(f"{self.name}: {path}: the file is missing in the archive")
        member = self._members[found]
        if member.file_size > limit:
            size = f"{member.file_size >> 20:,} MiB"
            raise TooLargeError(f"{self.name}: {path}: the file unpacks to {size}, the limit is {limit >> 20} MiB")
        try:
            with self._zip.open(member) as file:
                data = file.read(min(limit, self._left) + 1)  # a header may claim less than there is
        except _ERRORS as error:
            reason = "it has a password" if member.flag_bits & 1 else str(error) or type(error).__name__
            raise BookError(f"{self.name}: {path}: the file cannot be unpacked: {reason}") from None
        if len(data) > limit:
            raise TooLargeError(f"{self.name}: {path}: the file unpacks to more than {limit >> 20} MiB")
        self._left -= len(data)
        if self._left < 0:
            raise BookError(f"{self.name}: the book unpacks to more than {MAX_BYTES >> 20} MiB")
        return data

    def _check_mimetype(self) -> None:
        try:
            found = self.read("mimetype", 1 << 10).decode("ascii", "replace").strip("\ufeff \r\n\t\0")
        except MissingMemberError:
            self.warnings.append("mimetype: the file is missing")
            return
        except TooLargeError:
            found = "a large file"
        if found != MIMETYPE:
            self.warnings.append(f"mimetype: it is {found[:60]!r}, not {MIMETYPE}")

    def _check_encryption(self) -> None:
        if self.find(_ENCRYPTION) is None:
            return
        root, warnings = parse_xml(self.read(_ENCRYPTION), f"{self.name}: {_ENCRYPTION}")
        self.warnings += warnings
        for item in root.iter("{*}EncryptedData"):
            method = item.find("{*}EncryptionMethod")
            algorithm = "" if method is None else method.get("Algorithm") or ""
            if algorithm not in _OBFUSCATION:
                reference = item.find(".//{*}CipherReference")
                part = "" if reference is None else unquote(reference.get("URI") or "")
                how = f"DRM, {algorithm or 'unknown algorithm'}"
                raise BookError(
                    f"{self.name}: {part or _ENCRYPTION}: the book is encrypted ({how}); use a copy without DRM"
                )


def _is_outside(name: str) -> bool:
    path = name.replace("\\", "/")
    return path.startswith("/") or ".." in path.split("/") or path[1:2] == ":"
