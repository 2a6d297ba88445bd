"""Where something was written down: a file and a line, for errors that editors can jump to."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from commands.errors import CommandError

LINE = re.compile(r" \(line (\d+)\)\Z")


@dataclass(frozen=True)
class Source:
    path: Path
    line: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


class BrokenFile(CommandError):
    """`file:line: reason`."""

    def __init__(self, source: Source, reason: str) -> None:
        super().__init__(f"{source}: {reason}")


def located(sources: Mapping[str, Source], pointer: str, detail: str) -> str:
    """The fault at a JSON pointer as `file:line: reason`; "(line 3)" in the detail counts from the value's own."""
    known, rest = pointer, ""
    while known not in sources and known:
        known, _, last = known.rpartition("/")
        rest = f"/{last}{rest}"
    source = sources[known]
    within = LINE.search(detail)
    if within:
        source = Source(source.path, source.line + int(within[1]) - 1)
    name = pointer.removeprefix("/").replace("/", ".")
    return f"{source}: {name}: {detail.removesuffix(within[0] if within else '')}" if name else f"{source}: {detail}"
