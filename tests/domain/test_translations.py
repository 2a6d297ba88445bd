"""The language of one device."""

from typing import Any

import pytest

from domain.translations import content_for, with_translations

ENGLISH, GERMAN, AUSTRIAN = {"title": "Hello"}, {"title": "Hallo"}, {"title": "Servus"}


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        (None, ENGLISH),
        ("en-GB", ENGLISH),
        ("fr", ENGLISH),
        ("de", GERMAN),
        ("de-CH", GERMAN),
        ("de-AT", AUSTRIAN),
    ],
)
def test_a_device_gets_the_nearest_language_else_that_of_the_recipient(locale: str | None, expected: Any) -> None:
    stored = with_translations(ENGLISH, {"de": GERMAN, "de-AT": AUSTRIAN})
    assert content_for(stored, locale) == expected


def test_content_in_one_language_is_stored_without_others() -> None:
    assert with_translations(ENGLISH, {}) is ENGLISH
    assert content_for(ENGLISH, "de") is ENGLISH
