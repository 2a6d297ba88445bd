"""Errors of commands: one line each on stderr, and exit code 1."""

from collections.abc import Sequence


class CommandError(Exception):
    """`lines` are complete sentences, or `file:line: reason`."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines: Sequence[str] = lines
