"""Rich content of push messages: safe links, and the truncation to a vendor's size."""

import json
from typing import Any

import pytest

from domain.push_content import fit_push_content, is_data_name, is_https_url, is_safe_link

RICH: dict[str, Any] = {
    "title": "Order A-1",
    "body": "word " * 400,
    "image": "https://shop.test/" + "i" * 900,
    "link": "shop://orders/" + "1" * 600,
    "actions": [{"action": "track", "title": "t" * 400}],
    "badge": 2,
    "sound": "s" * 100,
    "data": {"order": "d" * 700},
}
FIELDS_BY_LIMIT = {
    5000: {"image", "actions", "data", "link", "sound"},
    3000: {"image", "actions", "data", "link", "sound"},
    2900: {"actions", "data", "link", "sound"},
    1950: {"data", "link", "sound"},
    1500: {"link", "sound"},
    800: {"sound"},
    160: set(),
}


def measure(content: dict[str, Any]) -> int:
    return len(json.dumps(content, ensure_ascii=False).encode())


@pytest.mark.parametrize(
    ("link", "is_safe"),
    [
        ("https://shop.test/orders?a=1#b", True),
        ("HTTPS://shop.test", True),
        ("shop://orders/1", True),
        ("com.example.shop://orders", True),
        ("http://shop.test", False),
        ("javascript:alert(1)", False),
        ("javascript://%0aalert(1)", False),
        ("JavaScript://x", False),
        ("java\tscript://x", False),
        ("\u200bjavascript://x", False),
        ("data:text/html,x", False),
        ("intent://x#Intent;end", False),
        ("file:///etc/passwd", False),
        ("https://user@shop.test/", False),
        ("https:///path", False),
        ("//shop.test", False),
        ("/orders", False),
        ("", False),
        ("https://shop.test/a b", False),
        ("https://shop.test/" + "a" * 2048, False),
    ],
)
def test_only_https_and_app_links_are_safe(link: str, is_safe: bool) -> None:
    assert is_safe_link(link) is is_safe
    assert is_https_url(link) is (is_safe and link.lower().startswith("https:"))


@pytest.mark.parametrize(
    ("name", "is_allowed"),
    [("order", True), ("order.id", True), ("", False), ("a b", False), ("a" * 65, False)]
    + [(name, False) for name in ("from", "aps", "google.x", "GCM.x", "tocsin_id", "notification_id", "attempt_id")],
)
def test_data_has_no_name_of_a_vendor_or_of_tocsin(name: str, is_allowed: bool) -> None:
    assert is_data_name(name) is is_allowed


def test_content_that_fits_is_unchanged() -> None:
    assert fit_push_content(RICH, measure(RICH), measure) is RICH


@pytest.mark.parametrize(("limit", "fields"), FIELDS_BY_LIMIT.items())
def test_the_body_is_shortened_before_fields_are_dropped_in_order(limit: int, fields: set[str]) -> None:
    fitted = fit_push_content(RICH, limit, measure)
    assert fitted is not None
    assert measure(fitted) <= limit
    assert set(fitted) == {"title", "body", "badge"} | fields
    assert all(RICH[name] == value for name, value in fitted.items() if name != "body")
    if limit < measure(RICH):
        assert fitted["body"].endswith("…")
        # One more word would be too long.
        assert measure(fitted) + len(" word") > limit


def test_a_title_that_is_too_long_alone_is_refused() -> None:
    alone = {"title": "t" * 100, "body": ""}
    assert fit_push_content({**alone, "body": "a"}, measure(alone), measure) == alone
    assert fit_push_content({**alone, "body": "a"}, measure(alone) - 1, measure) is None


@pytest.mark.parametrize("char", ["é", "👍🏽", "👩‍👩‍👧", "🇫🇷", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "1️⃣", "न्", "\r\n"])
def test_a_character_of_several_code_points_is_never_cut(char: str) -> None:
    body = "a" * 90 + char * 20
    for limit in range(measure({"title": "", "body": "a" * 80}), measure({"title": "", "body": body})):
        fitted = fit_push_content({"title": "", "body": body}, limit, measure)
        assert fitted is not None
        text = fitted["body"].removesuffix("…")
        assert text == "a" * len(text) or text == ("a" * 90 + char * ((len(text) - 90) // len(char))).rstrip()
