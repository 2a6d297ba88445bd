"""Compare the query parameters of a request with those that its route declares. Called by `authenticated_route`."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any, get_args, get_origin

from fastapi.dependencies.models import Dependant
from pydantic import BaseModel

from domain.validation_issues import ValidationIssue

LIST_TYPES = (list, set, frozenset, tuple)
# Each suggestion costs a comparison with every declared name, and a URL has room for thousands of names.
ISSUE_LIMIT = 20
MAX_NAME_LENGTH = 64


def declared_names(dependant: Dependant) -> dict[str, bool]:
    """Map each query parameter of a route and its dependencies to whether it may be repeated."""
    names: dict[str, bool] = {}
    for field in dependant.query_params:
        names |= _names_of(field.alias, field.field_info.annotation)
    for dependency in dependant.dependencies:
        names |= declared_names(dependency)
    return names


def _names_of(name: str, annotation: Any) -> dict[str, bool]:
    """Return the fields of a model in place of its name, because each field is a parameter."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.items()
        return {field.alias or own_name: _is_list(field.annotation) for own_name, field in fields}
    return {name: _is_list(annotation)}


def find_query_issues(declared: Mapping[str, bool], given: Sequence[str]) -> list[ValidationIssue]:
    """Return an issue for each name that is not declared, or is repeated without being a list. At most
    `ISSUE_LIMIT`."""
    return list(islice(_query_issues(declared, Counter(given)), ISSUE_LIMIT))


def _query_issues(declared: Mapping[str, bool], counts: Mapping[str, int]) -> Iterator[ValidationIssue]:
    for name, count in counts.items():
        if name not in declared:
            yield {
                "parameter": name[:MAX_NAME_LENGTH],
                "detail": f"is not a parameter of this request{_hint(name, declared)}",
            }
        elif count > 1 and not declared[name]:
            yield {"parameter": name, "detail": "must be given only once"}


def _hint(name: str, declared: Mapping[str, bool]) -> str:
    close = get_close_matches(name.lower(), declared, n=1) if len(name) <= MAX_NAME_LENGTH else []
    return f"; did you mean '{close[0]}'?" if close else ""


def _is_list(annotation: Any) -> bool:
    return annotation in LIST_TYPES or get_origin(annotation) in LIST_TYPES or any(map(_is_list, get_args(annotation)))
