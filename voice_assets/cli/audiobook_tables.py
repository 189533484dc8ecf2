"""What `voice audiobook` prints: the plan of a book, reports of builds, checks."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from voice_assets.cli.output import (
    console,
    format_speed,
    print_error_line,
    print_first,
    print_line,
    print_warning_line,
)
from voice_core.audiobook.build import BookReport, LibraryReport, estimate_speech_sec
from voice_core.audiobook.chunk_manifest import ChunkRow
from voice_core.audiobook.commands import check_command, speak_command
from voice_core.audiobook.model import Book, count_characters
from voice_core.audiobook.pipeline_file import find_pipeline
from voice_core.audiobook.speaking import VoiceGains
from voice_core.language import pluralize
from voice_core.settings import Settings
from voice_core.stages.checks import CheckOutcome

_MAX_LISTED = 20
_PREVIEW = 60  # characters of a text that is not spoken
_FLAC_BYTES_PER_SEC = 26_000  # measured on speech at 24 kHz, 16 bit


def plan_to_dict(book: Book, rows: Sequence[ChunkRow], settings: Settings) -> dict[str, Any]:
    """The plan of a book for programs. Seconds and bytes are estimates."""
    language = settings.audiobook.language or book.language or "en"
    chapters: list[dict[str, Any]] = []
    for number, chapter in enumerate(book.chapters, 1):
        own = [row for row in rows if row.chapter == number]
        spoken = [row for row in own if row.is_spoken]
        characters = sum(count_characters(row.text) for row in spoken if not row.is_added)
        chapters.append(
            {
                "chapter": number,
                "title": chapter.title,
                "chunks": len(spoken),
                "words": sum(len(row.text.split()) for row in spoken),
                "characters": characters,
                "seconds": round(estimate_speech_sec(characters, language), 1),
            }
        )
    seconds: float = sum(item["seconds"] for item in chapters)
    left_out: dict[str, dict[str, Any]] = {}
    for row in rows:
        if not row.is_spoken:
            reason = row.skipped or row.refused
            item = left_out.setdefault(reason, {"kind": "skipped" if row.skipped else "refused", "pieces": 0})
            item["pieces"] += 1
            item["characters"] = item.get("characters", 0) + count_characters(row.text)
            item.setdefault("first", {"place": row.place, "text": row.text[:_PREVIEW], "message": row.message})
    return {
        "title": book.title,
        "authors": list(book.authors),
        "language": language,
        "source_characters": book.source_characters,
        "chapters": chapters,
        "not_spoken": dict(sorted(left_out.items())),
        "seconds": round(seconds, 1),
        "bytes": {
            "chunks": round(seconds * _FLAC_BYTES_PER_SEC),
            "m4b": round(seconds * settings.audiobook.aac_kbps * 125),
        },
        "warnings": list(book.warnings),
    }


def print_plan(name: str, book: Book, rows: Sequence[ChunkRow], settings: Settings) -> None:
    plan = plan_to_dict(book, rows, settings)
    print_line(f"{plan['title']} by {', '.join(book.authors) or 'an unnamed author'} ({name}, {plan['language']})")
    table = Table(title="Chapters", title_justify="left")
    for column in ("", "title", "words", "chunks", "minutes"):
        table.add_column(column, justify="left" if column == "title" else "right", overflow="fold")
    for item in plan["chapters"]:
        table.add_row(
            str(item["chapter"]),
            item["title"],
            f"{item['words']:,}",
            f"{item['chunks']:,}",
            f"≈ {item['seconds'] / 60:,.1f}",
        )
    console.print(table)
    if plan["not_spoken"]:
        table = Table(title="Not spoken", title_justify="left")
        for column in ("reason", "pieces", "characters", "first"):
            table.add_column(column, justify="right" if column in ("pieces", "characters") else "left", overflow="fold")
        for reason, item in plan["not_spoken"].items():
            first = item["first"]
            table.add_row(
                f"{reason} ({item['kind']})",
                f"{item['pieces']:,}",
                f"{item['characters']:,}",
                f"{first['place']}: {first['text']}",
            )
        console.print(table)
    for line in book.warnings:
        print_warning_line(line)
    spoken = sum(item["characters"] for item in plan["chapters"])
    left = sum(item["characters"] for item in plan["not_spoken"].values())
    print_line(
        f"{spoken:,} characters spoken + {left:,} not spoken = {book.source_characters:,} in the book"
        if spoken + left == book.source_characters
        else f"{spoken:,} characters spoken + {left:,} not spoken, but the book has {book.source_characters:,}"
    )
    sizes = plan["bytes"]
    print_line(
        f"≈ {_duration(plan['seconds'])}; ≈ {sizes['chunks'] / 1e6:,.1f} MB of chunks, "
        f"≈ {sizes['m4b'] / 1e6:,.1f} MB of m4b"
    )


def _duration(seconds: float) -> str:
    """
    >>> _duration(400), _duration(36_500)
    ('6.7 minutes', '10.1 hours')
    """
    return f"{seconds / 60:.1f} minutes" if seconds < 3600 else f"{seconds / 3600:.1f} hours"


def print_library_report(report: LibraryReport, settings: Settings) -> None:
    for name, item in report.books.items():
        print_book_report(name, item, settings)
    for name, why in report.failures.items():
        print_error_line(f"{name}: {why}", "failed:")


def print_book_report(name: str, report: BookReport, settings: Settings) -> None:
    from voice_core.audiobook.audio_checks import list_exceptions

    audio, mastered = report.audio, report.audiobook
    exceptions = list_exceptions(report.text, audio.manifest)
    print_first(exceptions, _MAX_LISTED, "exception:", noun="chunk", rest=f"; `{check_command(name)}` lists all")
    for problem in VoiceGains.of_manifest(audio.manifest).problems.values():
        print_warning_line(f"{problem}; its gain is 0 dB", "exception:")
    speed = format_speed(audio.speech_sec, audio.wall_sec)
    counts = report.text.characters()
    spoken = f"{pluralize(audio.spoken, 'utterance')} spoken now{speed}"
    if mastered is None:
        print_line(f"{name}: {pluralize(len(report.text.chunks()), 'chunk')}; {spoken}, {report.wall_sec:,.1f} s")
        if (pipeline := find_pipeline(report.text)) is not None:
            print_line(f"  to write the audio of its chunks: `{speak_command(*pipeline)}` in the folder of the file")
        return
    print_line(
        f"{name}: {report.text.title}, {mastered.manifest.duration_sec / 60:,.1f} minutes in "
        f"{pluralize(len(report.text.chapters), 'chapter')}; {spoken}, "
        f"{pluralize(mastered.chapters_mastered, 'chapter')} mastered, {report.wall_sec:,.1f} s"
    )
    left = {reason: number for reason, number in counts.items() if reason != "spoken" and number}
    if left:
        listed = ", ".join(f"{reason} {number:,}" for reason, number in left.items())
        print_line(f"  characters: {counts['spoken']:,} spoken; not spoken: {listed}")
    for row in mastered.manifest.rows:
        if not row.chapter:
            print_line(f"  {settings.work_url}/{row.key}")


def print_checks(outcomes: Sequence[tuple[str, CheckOutcome]], exceptions: Sequence[str]) -> None:
    table = Table(title_justify="left")
    for column in ("asset", "check", "", "message"):
        table.add_column(column, overflow="fold")
    for asset, item in outcomes:
        state = "passed" if item.passed else "warning" if item.warning else "failed"
        table.add_row(asset, item.name, state, item.message)
    console.print(table)
    for line in exceptions:
        print_warning_line(line, "exception:")
