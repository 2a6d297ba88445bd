"""Parse bytes to a JSON value, and reject what other parsers read differently. Called by `authenticated_route`."""

import json
import math
import re
from typing import NoReturn

from api.json_values import has_more_values

MAX_DEPTH = 64
# JSON values of a body, unless its route allows more.
VALUE_LIMIT = 20_000
# Characters of a number. The largest float needs 309 digits. The time to parse an integer grows with their square.
MAX_NUMBER_LENGTH = 400
# Only escapes can contain these: raw control characters and raw surrogates are rejected earlier.
ESCAPED_NUL_OR_SURROGATE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")

Value = dict[str, "Value"] | list["Value"] | str | int | float | bool | None


class UnreadableJson(ValueError):
    """`reason` names the problem and its position, never the input."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TooManyValues(Exception):
    """The body has more values than its route allows. They have not been parsed."""


def parse(raw: bytes, max_values: int = VALUE_LIMIT) -> Value:
    """Parse UTF-8 without BOM. Reject NaN, Infinity, NUL, lone surrogates, duplicate keys and more than 64 levels.

    Raise UnreadableJson, or TooManyValues before anything is parsed.
    """
    if has_more_values(raw, max_values):
        raise TooManyValues
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise UnreadableJson("The body is not UTF-8.") from None
    if text.startswith("\ufeff"):
        raise UnreadableJson("The body starts with a byte order mark.")
    value = _decode(text)
    _check_value(value, strings=ESCAPED_NUL_OR_SURROGATE.search(text) is not None)
    return value


def _decode(text: str) -> Value:
    try:
        value: Value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int
        )
    except json.JSONDecodeError as error:
        raise UnreadableJson(f"The body is not JSON: line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise _too_deep() from None
    return value


def _object(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise UnreadableJson("An object has the same key twice.")
    return value


def _constant(_: str) -> NoReturn:
    raise UnreadableJson("NaN and Infinity are not JSON.")


def _float(digits: str) -> float:
    _check_length(digits)
    number = float(digits)
    if math.isinf(number):
        raise UnreadableJson("A number is too large.")
    return number


def _int(digits: str) -> int:
    _check_length(digits)
    return int(digits)


def _check_length(digits: str) -> None:
    if len(digits) > MAX_NUMBER_LENGTH:
        raise UnreadableJson(f"A number has more than {MAX_NUMBER_LENGTH} characters.")


def _check_value(value: Value, *, strings: bool) -> None:
    """Check level by level, so that no nesting can exhaust the stack."""
    level, depth = [value], 0
    while level:
        containers = [v for v in level if isinstance(v, dict | list)]
        depth += bool(containers)
        if depth > MAX_DEPTH:
            raise _too_deep()
        if strings:
            _check_texts(level)
        level = [child for v in containers for child in (v.values() if isinstance(v, dict) else v)]


def _check_texts(level: list[Value]) -> None:
    for value in level:
        for text in value if isinstance(value, dict) else (value,):
            if isinstance(text, str):
                _check_text(text)


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise UnreadableJson("A string contains NUL.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UnreadableJson("A string contains a lone surrogate.") from None


def _too_deep() -> UnreadableJson:
    return UnreadableJson(f"The body is nested more than {MAX_DEPTH} levels deep.")
