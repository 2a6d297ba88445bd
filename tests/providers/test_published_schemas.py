"""Check that a cut-out of a published schema refuses what the vendor does not document."""

import pytest

from tests.providers.published_schemas import schema_problems


def test_a_documented_value_has_no_problems() -> None:
    assert schema_problems("vonage/messages", "MessageAcceptedResponse", {"message_uuid": "a"}) == []


@pytest.mark.parametrize("value", [{}, {"message_uuid": 7}, {"message_uuid": "a", "mesage": "b"}])
def test_an_undocumented_value_has_problems(value: dict[str, object]) -> None:
    assert schema_problems("vonage/messages", "MessageAcceptedResponse", value)
