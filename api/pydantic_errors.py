"""Convert validation errors of Pydantic and FastAPI to issues, without the input that they quote."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError

from api.problems import Problem, invalid, not_found
from domain.validation_issues import ERROR_LIMIT, ValidationIssue, pointer_of

# Error types whose message depends only on the model. Other messages can quote the input.
SAFE_ERROR_TYPES = re.compile(
    r"(missing|extra_forbidden|enum|literal_error|none_required|union_tag_not_found|finite_number"
    r"|(string|int|float|bool|datetime)_type"
    r"|(int|float|bool)_parsing|int_from_float"
    r"|(string_)?too_(short|long)|(greater|less)_than(_equal)?|multiple_of|string_pattern_mismatch)"
)
VALUE_ERROR_PREFIX = "Value error, "
# In the words of JSON, not of Python.
ISSUE_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "is not known here",
    "uuid_parsing": "must be a UUID",
    "uuid_type": "must be a UUID",
    "bytes_type": "must be JSON",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dataclass_type": "must be an object",
    "list_type": "must be an array",
    "value_error": "is not valid",
}


def problem_of(error: RequestValidationError, *, creates: bool = False) -> Problem:
    """Return 404 for a path whose name or id cannot exist, unless the request would create it, and 422 otherwise."""
    path_errors = [e for e in error.errors() if e["loc"][0] == "path"]
    if any(not creates or str(e["type"]).startswith("uuid") for e in path_errors):
        return not_found()
    return invalid(*issues_of(error.errors(), error.body), detail="The request is not valid; see errors.")


def issues_of(errors: Iterable[Mapping[str, Any]], body: object) -> list[ValidationIssue]:
    """Return the distinct issues. `loc` starts with body, query, path or header. Several branches of a union may report
    the same issue.

    Stop at one more than a response lists, which shows that there are more.
    """
    unique: dict[tuple[str, str], ValidationIssue] = {}
    for error in errors:
        issue = _issue(error, body)
        unique.setdefault((issue.get("pointer", issue.get("parameter", "")), issue["detail"]), issue)
        if len(unique) > ERROR_LIMIT:
            break
    return list(unique.values())


def _issue(error: Mapping[str, Any], body: object) -> ValidationIssue:
    source, *path = error["loc"]
    detail = detail_of(error)
    if source != "body":
        return {"parameter": str(path[0]) if path else str(source), "detail": detail}
    return {"pointer": pointer_of(*_without_union_branches(path, body, error)), "detail": detail}


def detail_of(error: Mapping[str, Any]) -> str:
    error_type, message = str(error["type"]), str(error["msg"])
    if message.startswith(VALUE_ERROR_PREFIX):
        return message.removeprefix(VALUE_ERROR_PREFIX)
    if error_type in ISSUE_MESSAGES:
        return ISSUE_MESSAGES[error_type]
    if not SAFE_ERROR_TYPES.fullmatch(error_type):
        return "is not valid"
    return message.replace("Input should be", "must be", 1).replace("Input should", "must", 1)


def _without_union_branches(path: Sequence[str | int], body: Any, error: Mapping[str, Any]) -> list[str | int]:
    """Return the path without the union branches and `[key]` that pydantic adds."""
    real_path: list[str | int] = []
    for position, segment in enumerate(path):
        if _has_child(body, segment):
            real_path, body = [*real_path, segment], body[segment]
        elif position == len(path) - 1 and _is_absent_field(segment, body, error):
            real_path = [*real_path, segment]
    return real_path


def _is_absent_field(segment: str | int, parent: object, error: Mapping[str, Any]) -> bool:
    """Return whether the segment names an absent field. A union branch receives the value itself; an absent field is
    missing, or its default is invalid."""
    return error["type"] == "missing" or (segment != "[key]" and error.get("input") is not parent)


def _has_child(value: Any, segment: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(segment, int) and 0 <= segment < len(value)
    return isinstance(value, dict) and segment in value
