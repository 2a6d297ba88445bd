"""Define RFC 9457 problem details: the exceptions that routes raise, and their responses."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.responses import JSONResponse

from domain.validation_issues import ERROR_LIMIT, ValidationIssue

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:tocsin:problem:"

MORE_ERRORS = f"Only the first {ERROR_LIMIT} errors are listed."

# Status → last part of `type`, and `title`.
PROBLEM_TYPES: dict[int, tuple[str, str]] = {
    400: ("unreadable", "The request cannot be read"),
    401: ("unauthenticated", "A valid API key is required"),
    403: ("forbidden", "The API key does not allow this"),
    404: ("not-found", "The resource does not exist"),
    405: ("method-not-allowed", "The method is not allowed"),
    408: ("timeout", "The request did not arrive in time"),
    409: ("conflict", "The request conflicts with the current state"),
    413: ("too-large", "The request body is too large"),
    421: ("misdirected", "The request is for another host"),
    422: ("invalid", "The request is not valid"),
    429: ("too-many-requests", "Too many requests"),
    431: ("headers-too-large", "The header fields are too large or too many"),
    500: ("internal", "Internal server error"),
    503: ("unavailable", "The service is temporarily unavailable"),
}


class Problem(Exception):
    """Raised by routes and their helpers. `detail` and `errors` never repeat input.

    Of more than 50 errors, the first 50 are kept and `detail` mentions it.
    """

    def __init__(
        self,
        status: int,
        detail: str | None = None,
        *,
        errors: Sequence[ValidationIssue] = (),
        headers: Mapping[str, str] | None = None,
        problem_type: tuple[str, str] | None = None,
    ) -> None:
        slug, self.title = problem_type or PROBLEM_TYPES.get(status, ("http", "The request failed"))
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


def not_found(detail: str = "The resource does not exist.") -> Problem:
    """Return the problem of an unknown id or key in the path. Use `invalid` for one in a body."""
    return Problem(404, detail)


def conflict(detail: str, *, retry_after: int | None = None) -> Problem:
    return Problem(409, detail, headers={"Retry-After": str(retry_after)} if retry_after else None)


def invalid(*errors: ValidationIssue, detail: str | None = None) -> Problem:
    return Problem(422, detail or "; ".join(error["detail"] for error in errors[:3]), errors=errors)
