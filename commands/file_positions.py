"""Locate values in files by line, for errors that editors can open."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from commands.errors import CommandError

LINE_SUFFIX = re.compile(r" \(line (\d+)\)\Z")
# Values that are a whole file or its first line, so that the file name is enough.
WHOLE_FILE_POINTERS = {"/subject_template", "/body_template", "/text_template"}


@dataclass(frozen=True)
class Source:
    path: Path
    line: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


class BrokenFile(CommandError):
    """An error in a file, as `file:line: reason`."""

    def __init__(self, source: Source, reason: str) -> None:
        super().__init__(f"{source}: {reason}")


def nearest_source(sources: Mapping[str, Source], pointer: str) -> Source:
    """Return the source of the value, or of the nearest value that contains it."""
    while pointer not in sources and pointer:
        pointer = pointer.rpartition("/")[0]
    return sources[pointer]


def locate_message(sources: Mapping[str, Source], pointer: str, detail: str) -> str:
    """Return the issue at a JSON pointer as `file:line: reason`. "(line 3)" in the detail counts from the line of the
    value."""
    source = nearest_source(sources, pointer)
    within = LINE_SUFFIX.search(detail)
    if within:
        source = Source(source.path, source.line + int(within[1]) - 1)
        detail = detail.removesuffix(within[0])
    name = "" if pointer in WHOLE_FILE_POINTERS else pointer.removeprefix("/").replace("/", ".")
    return f"{source}: {name}: {detail}" if name else f"{source}: {detail}"
