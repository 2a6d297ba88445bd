"""Describe what is wrong with an input, by its position in the body of a request or by the name of its parameter."""

from collections.abc import Sequence
from itertools import takewhile
from typing import NotRequired, TypedDict

# Issues in one response. More would cost time and not help the caller.
ERROR_LIMIT = 50
# Maximum length of one name in a pointer, so that it cannot repeat a body of any size.
MAX_SEGMENT_LENGTH = 256


class ValidationIssue(TypedDict):
    """Describe one issue of the input. `pointer` (RFC 6901) into the body, or the name of a path, query or header
    `parameter`."""

    pointer: NotRequired[str]
    parameter: NotRequired[str]
    detail: str


class InvalidInput(Exception):
    """Report an input with issues. Their texts never repeat the input."""

    def __init__(self, *issues: ValidationIssue) -> None:
        super().__init__("; ".join(issue["detail"] for issue in issues[:3]))
        self.issues = issues


def raise_issues(issues: Sequence[ValidationIssue]) -> None:
    if issues:
        raise InvalidInput(*issues)


def issue_at(pointer: str, detail: str) -> ValidationIssue:
    return {"pointer": pointer, "detail": detail}


def pointer_of(*segments: str | int) -> str:
    """Return an RFC 6901 pointer: `pointer_of("payload", "a/b")` is `/payload/a~1b`; without segments, the whole body.

    The pointer ends above a name of more than 256 characters.
    """
    segments = tuple(takewhile(lambda segment: len(str(segment)) <= MAX_SEGMENT_LENGTH, segments))
    return "".join("/" + str(segment).replace("~", "~0").replace("/", "~1") for segment in segments)
