"""The table of contents of an EPUB and its landmarks: the navigation document of EPUB 3, the NCX of EPUB 2."""

from lxml import etree

from voice_core.audiobook.model import BookError
from voice_core.audiobook.reading.chapters import Entry
from voice_core.audiobook.reading.documents import parse_document, parse_xml
from voice_core.audiobook.reading.elements import Element, local_name, types_of
from voice_core.audiobook.reading.epub_archive import EpubArchive
from voice_core.audiobook.reading.epub_package import Package
from voice_core.audiobook.reading.front_back_matter import SPOKEN, matter_of_types

_ALIASES = {"text": "bodymatter", "start": "bodymatter", "acknowledgements": "acknowledgments", "notes": "endnotes"}


def read_contents(archive: EpubArchive, package: Package) -> list[Entry]:
    """The entries of the contents in their order; none where there are no contents, or none that can be read."""
    for path, read in ((package.nav, _nav_entries), (package.ncx, _ncx_entries)):
        if not path:
            continue
        try:
            entries = read(archive, path)
        except BookError as error:
            reason = str(error).removeprefix(f"{archive.name}: ")
            package.warnings.append(f"the table of contents cannot be read: {reason}")
            continue
        if entries:
            return list(dict.fromkeys(entries))
        package.warnings.append(f"{path}: the table of contents has no entries")
    return []


def read_landmarks(archive: EpubArchive, package: Package) -> dict[str, str]:
    """Front matter, back matter and contents, by document, as landmarks and guide say.

    Documents in which the text begins, or that are several things at once, are left out.
    """
    found = [(_ALIASES.get(kind, kind), archive.resolve(package.path, href)) for kind, href in package.guide if href]
    if package.nav:
        try:
            root = parse_document(archive.read(package.nav), package.nav).root
        except BookError:
            root = etree.Element("html")
        for nav in _navs(root, "landmarks"):
            for link in nav.iter("{*}a", "a"):
                href = link.get("href")
                if href:
                    found += [(kind, archive.resolve(package.nav, href)) for kind in sorted(types_of(link))]
    kinds: dict[str, set[str]] = {}
    for kind, target in found:
        if target:
            kinds.setdefault(target[0], set()).add("" if kind == "bodymatter" else matter_of_types([kind]))
    return {
        path: next(iter(matters))
        for path, matters in kinds.items()
        if len(matters) == 1 and matters.isdisjoint({"", SPOKEN}) and path != package.nav
    }


def _navs(root: Element, kind: str) -> list[Element]:
    return [item for item in root.iter() if local_name(item) == "nav" and {kind, f"doc-{kind}"} & types_of(item)]


def _nav_entries(archive: EpubArchive, path: str) -> list[Entry]:
    root = parse_document(archive.read(path), f"{archive.name}: {path}").root
    navs = _navs(root, "toc") or [item for item in root.iter() if local_name(item) == "nav"][:1]
    entries: list[Entry] = []
    level = 0
    for nav in navs[:1]:
        for event, item in etree.iterwalk(nav, events=("start", "end")):
            name = local_name(item)
            if name in ("ol", "ul"):
                level += 1 if event == "start" else -1
            elif name == "a" and event == "start" and (href := item.get("href")):
                _add(entries, archive, path, href, "".join(item.itertext()), level)
    return entries


def _ncx_entries(archive: EpubArchive, path: str) -> list[Entry]:
    root, _ = parse_xml(archive.read(path), f"{archive.name}: {path}")
    entries: list[Entry] = []
    level, title = 0, ""
    for event, item in etree.iterwalk(root, events=("start", "end")):
        name = local_name(item)
        if name == "navpoint":
            level += 1 if event == "start" else -1
        elif level and name == "navlabel" and event == "start":
            title = "".join(item.itertext())
        elif level and name == "content" and event == "start":
            _add(entries, archive, path, item.get("src") or "", title, level)
    return entries


def _add(entries: list[Entry], archive: EpubArchive, path: str, href: str, title: str, level: int) -> None:
    target = archive.resolve(path, href)
    if target and href:
        place = f"{target[0]}#{target[1]}" if target[1] else target[0]
        entries.append(Entry(" ".join(title.split()), place, max(1, level)))
