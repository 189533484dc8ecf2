from pathlib import Path


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its path from there."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
