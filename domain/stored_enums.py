"""Provide the base of enums whose values are in rows and messages, where a process of another version may have
written them."""

from enum import StrEnum
from typing import NoReturn


class UnknownValue(ValueError):
    """Report a value of a newer version. During a rolling deploy another process, or this one later, knows the
    value, so that the work is retried and does not fail permanently."""


class StoredEnum(StrEnum):
    """Raise UnknownValue for an unknown value."""

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise UnknownValue(f"unknown {cls.__name__}")
