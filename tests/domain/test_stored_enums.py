from enum import StrEnum

import pytest

from domain import (
    channels,
    circuits,
    evidence,
    gates,
    holds,
    notification_types,
    schedules,
    statuses,
    suppressions,
    timing,
)
from domain.stored_enums import StoredEnum, UnknownValue

STORED_IN = (channels, circuits, evidence, gates, holds, notification_types, schedules, statuses, suppressions, timing)
ENUMS: set[type[StrEnum]] = {
    value
    for module in STORED_IN
    for value in vars(module).values()
    if isinstance(value, type) and issubclass(value, StrEnum) and value is not StoredEnum
}


@pytest.mark.parametrize("enum", sorted(ENUMS, key=str))
def test_a_value_of_a_newer_version_is_distinguished_from_a_bug(enum: type[StrEnum]) -> None:
    assert len(ENUMS) > 10
    with pytest.raises(UnknownValue):
        enum("of a newer version")
    assert enum(str(next(iter(enum)))) is next(iter(enum))
