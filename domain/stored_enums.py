"""Base of the enums whose values are in rows and messages, where a process of another version may have written them."""

from enum import StrEnum
from typing import NoReturn


class UnknownValue(ValueError):
    """During a rolling deploy this process may be the older one: another process, or this one later, knows the value.
    So what meets it is repeated and does not fail for good."""


class StoredEnum(StrEnum):
    """Raises UnknownValue for what is none of its values."""

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise UnknownValue(f"unknown {cls.__name__}")
