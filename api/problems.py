"""RFC 9457 problem details: what routes raise when a request cannot be met, and how it is answered."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, NotRequired, TypedDict

from fastapi.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:tocsin:problem:"

# Errors in one response. More cost time to collect and help no caller.
ERROR_LIMIT = 50
MORE_ERRORS = f"Only the first {ERROR_LIMIT} errors are listed."
# Characters of one name in a pointer, which would otherwise repeat a body of any size.
MAX_SEGMENT_LENGTH = 256

# Status → last part of `type`, and `title`.
PROBLEM_TYPES: dict[int, tuple[str, str]] = {
    400: ("unreadable", "The request cannot be read"),
    401: ("unauthenticated", "A valid API key is required"),
    403: ("forbidden", "The API key may not do this"),
    404: ("not-found", "There is no such thing"),
    405: ("method-not-allowed", "The method is not allowed here"),
    408: ("timeout", "The request did not arrive in time"),
    409: ("conflict", "The request conflicts with the current state"),
    413: ("too-large", "The request body is too large"),
    421: ("misdirected", "The request is for another host"),
    422: ("invalid", "The request is not valid"),
    429: ("too-many-requests", "Too many requests"),
    431: ("headers-too-large", "The header fields are too large or too many"),
    500: ("internal", "Something went wrong on our side"),
    503: ("unavailable", "The service is temporarily unavailable"),
}


class ValidationIssue(TypedDict):
    """One thing wrong: `pointer` (RFC 6901) into the body, or the name of a path, query or header `parameter`."""

    pointer: NotRequired[str]
    parameter: NotRequired[str]
    detail: str


class Problem(Exception):
    """Raised by routes and what they call. `detail` and `errors` never repeat what was sent.

    Of more than 50 errors the first 50 are kept, and `detail` mentions it.
    """

    def __init__(
        self,
        status: int,
        detail: str | None = None,
        *,
        errors: Sequence[ValidationIssue] = (),
        headers: Mapping[str, str] | None = None,
        kind: tuple[str, str] | None = None,
    ) -> None:
        slug, self.title = kind or PROBLEM_TYPES.get(status, ("http", "The request failed"))
        self.type = TYPE_PREFIX + slug
        self.status, self.detail, self.errors = status, detail, list(errors[:ERROR_LIMIT])
        if len(errors) > ERROR_LIMIT:
            self.detail = f"{detail or self.title} {MORE_ERRORS}"
        self.headers = dict(headers or {})
        super().__init__(f"{status} {slug}")

    @property
    def body(self) -> dict[str, Any]:
        body = {"type": self.type, "title": self.title, "status": self.status, "detail": self.detail or self.title}
        return body | ({"errors": self.errors} if self.errors else {})

    @property
    def response(self) -> JSONResponse:
        return JSONResponse(self.body, self.status, self.headers, media_type=MEDIA_TYPE)


def not_found(detail: str = "There is no such thing.") -> Problem:
    """For an id or key in the path. What is named in a body and does not exist is `invalid`."""
    return Problem(404, detail)


def conflict(detail: str, *, retry_after: int | None = None) -> Problem:
    return Problem(409, detail, headers={"Retry-After": str(retry_after)} if retry_after else None)


def invalid(*errors: ValidationIssue, detail: str | None = None) -> Problem:
    return Problem(422, detail or "; ".join(error["detail"] for error in errors[:3]), errors=errors)


def issue_at(pointer: str, detail: str) -> ValidationIssue:
    return {"pointer": pointer, "detail": detail}


def pointer_of(*segments: str | int) -> str:
    """RFC 6901: `pointer_of("payload", "a/b")` is `/payload/a~1b`; no segments, the whole body.

    Ends at the value above a name of more than 256 characters.
    """
    segments = tuple(takewhile(lambda segment: len(str(segment)) <= MAX_SEGMENT_LENGTH, segments))
    return "".join("/" + str(segment).replace("~", "~0").replace("/", "~1") for segment in segments)
