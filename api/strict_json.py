"""Bytes to a JSON value, refusing what other readers read differently; called by the front door."""

import json
import math
import re
from typing import NoReturn

DEPTH = 64
# Only escapes can smuggle these in: raw control characters and raw surrogates are refused earlier.
SUSPECT = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")

Value = dict[str, "Value"] | list["Value"] | str | int | float | bool | None


class UnreadableJson(ValueError):
    """`reason` says what is wrong and where, never what was sent."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read(raw: bytes) -> Value:
    """UTF-8 without BOM, no NaN or Infinity, NUL, lone surrogate or duplicate key; at most 64 levels."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise UnreadableJson("The body is not UTF-8.") from None
    if text.startswith("\ufeff"):
        raise UnreadableJson("The body starts with a byte order mark.")
    value = _parsed(text)
    _check(value, strings=SUSPECT.search(text) is not None)
    return value


def _parsed(text: str) -> Value:
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
    number = float(digits)
    if math.isinf(number):
        raise UnreadableJson("A number is too large.")
    return number


def _int(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:
        raise UnreadableJson("A number is too large.") from None


def _check(value: Value, *, strings: bool) -> None:
    """Level by level, so that no nesting can exhaust the stack."""
    level, depth = [value], 0
    while level:
        containers = [v for v in level if isinstance(v, dict | list)]
        depth += bool(containers)
        if depth > DEPTH:
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
    return UnreadableJson(f"The body is nested more than {DEPTH} levels deep.")
