"""The package of an EPUB: what the book says of itself, its documents in reading order, its contents and cover."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from voice_core.audiobook.model import BookError, Cover
from voice_core.audiobook.reading.documents import Document, parse_document, parse_xml
from voice_core.audiobook.reading.elements import Element, local_name
from voice_core.audiobook.reading.epub_archive import EpubArchive
from voice_core.language import short_language_code

CONTAINER = "META-INF/container.xml"
MAX_COVER_BYTES = 16 << 20
_DC = "{http://purl.org/dc/elements/1.1/}"
_OPF = "{http://www.idpf.org/2007/opf}"
_IMAGES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}


@dataclass(frozen=True, slots=True)
class Item:
    """An entry of the manifest. `path` is the name of its member, without a fragment."""

    id: str
    path: str
    media_type: str
    properties: frozenset[str]


@dataclass(slots=True)
class Package:
    """`spine` has the items in reading order, each once, and whether they are linear."""

    path: str
    metadata: dict[str, str]
    authors: tuple[str, ...]
    items: dict[str, Item]
    spine: list[tuple[Item, bool]]
    nav: str = ""
    ncx: str = ""
    guide: list[tuple[str, str]] = field(default_factory=list)  # type, href
    cover_id: str = ""
    warnings: list[str] = field(default_factory=list)


def read_package(archive: EpubArchive) -> Package:
    """The package that the container names, or the only one in the archive. Raises `BookError`."""
    warnings: list[str] = []
    path = _package_path(archive, warnings)
    root, repaired = parse_xml(archive.read(path), f"{archive.name}: {path}")
    warnings += repaired
    metadata, authors = _metadata(root)
    items = _manifest(root, archive, path, warnings)
    spine_element = root.find("{*}spine")
    toc = "" if spine_element is None else spine_element.get("toc") or ""
    package = Package(path, metadata, authors, items, _spine(root, items, warnings), warnings=warnings)
    if not package.spine:
        raise BookError(f"{archive.name}: {path}: the spine names no document, so there is nothing to read")
    package.nav = next((item.path for item in items.values() if "nav" in item.properties), "")
    by_type = (item.path for item in items.values() if item.media_type == "application/x-dtbncx+xml")
    package.ncx = items[toc].path if toc in items else next(by_type, "")
    package.guide = [
        ((item.get("type") or "").lower(), item.get("href") or "") for item in root.findall("{*}guide/{*}reference")
    ]
    named = [item.get("content") or "" for item in root.iter("{*}meta") if item.get("name") == "cover"]
    package.cover_id = named[0] if named else ""
    return package


def read_cover(archive: EpubArchive, package: Package) -> Cover | None:
    """The picture of the cover; None, with a warning where there is one that cannot be used."""
    path = _cover_path(archive, package)
    if not path:
        return None
    try:
        data = archive.read(path, MAX_COVER_BYTES)
    except BookError as error:
        reason = str(error).removeprefix(f"{archive.name}: ")
        package.warnings.append(f"the cover is left out: {reason}")
        return None
    for magic, media_type in _IMAGES.items():
        if data.startswith(magic):
            return Cover(data, media_type)
    package.warnings.append(f"the cover is left out: {path} is neither JPEG nor PNG")
    return None


def _package_path(archive: EpubArchive, warnings: list[str]) -> str:
    candidates = sorted(name for name in archive.names() if name.lower().endswith(".opf"))
    if archive.find(CONTAINER) is not None:
        root, repaired = parse_xml(archive.read(CONTAINER), f"{archive.name}: {CONTAINER}")
        warnings += repaired
        for item in root.iter("{*}rootfile"):
            path = unquote(item.get("full-path") or "").lstrip("/")
            if found := archive.find(path):
                return found
    if not candidates:
        raise BookError(f"{archive.name}: {CONTAINER} names no package, and there is none; the file is not an EPUB")
    warnings.append(f"{CONTAINER}: it is missing or names no package; {candidates[0]} is taken")
    return candidates[0]


def _metadata(root: Element) -> tuple[dict[str, str], tuple[str, ...]]:
    def texts(name: str) -> list[tuple[Element, str]]:
        found = ((item, " ".join("".join(item.itertext()).split())) for item in root.iter(f"{_DC}{name}"))
        return [(item, text) for item, text in found if text]

    def first(name: str) -> str:
        return next((text for _, text in texts(name)), "")

    unique = root.get("unique-identifier")
    identifiers = texts("identifier")
    metadata = {name: first(name) for name in ("title", "language", "publisher", "description", "date")}
    metadata["language"] = short_language_code(metadata["language"])
    own = [text for item, text in identifiers if unique and item.get("id") == unique]
    metadata["identifier"] = own[0] if own else first("identifier")
    metadata["description"] = _plain(metadata["description"])
    dates = texts("date")
    published = [text for item, text in dates if item.get(f"{_OPF}event") in ("publication", "original-publication")]
    metadata["date"] = published[0] if published else metadata["date"]
    refined = {
        (item.get("refines") or "").removeprefix("#"): (item.text or "").strip()
        for item in root.iter("{*}meta")
        if item.get("property") == "role"
    }
    creators = [
        (text, item.get(f"{_OPF}role") or refined.get(item.get("id") or "", "")) for item, text in texts("creator")
    ]
    authors = [text for text, role in creators if role in ("", "aut")] or [text for text, _ in creators]
    return metadata, tuple(dict.fromkeys(authors))


def _plain(description: str) -> str:
    """Descriptions often are HTML inside of XML."""
    if "<" not in description:
        return description
    root = parse_document(f"<div>{description}</div>".encode(), "description").root
    return " ".join(" ".join(root.itertext()).split())


def _manifest(root: Element, archive: EpubArchive, path: str, warnings: list[str]) -> dict[str, Item]:
    items: dict[str, Item] = {}
    for element in root.findall("{*}manifest/{*}item"):
        key, href = element.get("id") or "", element.get("href") or ""
        resolved = archive.resolve(path, href)
        if not key or resolved is None or not href:
            continue
        if key in items:
            warnings.append(f"{path}: the manifest has the id {key!r} twice; the first one is taken")
            continue
        properties = frozenset((element.get("properties") or "").split())
        items[key] = Item(key, resolved[0], (element.get("media-type") or "").lower(), properties)
    return items


def _spine(root: Element, items: Mapping[str, Item], warnings: list[str]) -> list[tuple[Item, bool]]:
    spine: dict[str, tuple[Item, bool]] = {}
    for element in root.findall("{*}spine/{*}itemref"):
        key = element.get("idref") or ""
        item = items.get(key)
        if item is None:
            warnings.append(f"the spine names {key!r}, which is not in the manifest; it is left out")
        elif item.path in spine:
            warnings.append(f"the spine names {item.path} twice; it is read once")
        else:
            spine[item.path] = (item, (element.get("linear") or "yes").lower() != "no")
    return list(spine.values())


def _cover_path(archive: EpubArchive, package: Package) -> str:
    for item in package.items.values():
        if "cover-image" in item.properties:
            return item.path
    if package.cover_id in package.items and package.items[package.cover_id].media_type.startswith("image/"):
        return package.items[package.cover_id].path
    if package.cover_id and archive.find(package.cover_id):  # some books name the file
        return package.cover_id
    for kind, href in package.guide:
        if kind == "cover" and (found := archive.resolve(package.path, href)):
            return _first_image(archive, found[0])
    return ""


def _first_image(archive: EpubArchive, path: str) -> str:
    """The picture of a cover page; the path itself where it is a picture."""
    if path.lower().endswith((".jpg", ".jpeg", ".png")):
        return path
    try:
        page: Document = parse_document(archive.read(path), path)
    except BookError:
        return ""
    for element in page.root.iter():
        if local_name(element) in ("img", "image"):
            href = element.get("src") or element.get("{http://www.w3.org/1999/xlink}href") or element.get("href") or ""
            if href and (found := archive.resolve(path, href)):
                return found[0]
    return ""
