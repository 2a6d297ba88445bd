"""Test the stored form of a profile in a send. The recipients' routes share the models."""

from typing import Any

import pytest
from pydantic import ValidationError

from api.schemas.recipients import InlineRecipient, Profile, changes_of, profile_of
from domain.json_types import Json
from domain.target_urls import TargetPolicy
from services.contact_rules import ContactRules


def inline(**given: Any) -> InlineRecipient:
    return InlineRecipient.model_validate({"recipient_id": "ada", **given})


def test_only_the_given_parts_are_there() -> None:
    assert profile_of(inline()) == {}
    assert profile_of(inline(phone="+4917012345678", locale="de_at")) == {
        "contact": {"phone": "+4917012345678"},
        "locale": "de-AT",
    }


def test_null_is_not_given_in_a_send_and_clears_in_a_merge() -> None:
    nothing = {"email": None, "phone": None, "timezone": None, "attributes": None}
    assert profile_of(inline(**nothing)) == {}
    assert changes_of(Profile.model_validate(nothing)) == {
        "contact": {"email": None, "email_ascii": None, "phone": None},
        "timezone": None,
        "attributes": None,
    }


@pytest.mark.parametrize(
    ("email", "ascii_form"),
    [
        ("ada@example.com", "ada@example.com"),
        ("ada@exämple.de", "ada@xn--exmple-cua.de"),
        ("ada@localhost", "ada@localhost"),
        ("ädä@example.com", None),
    ],
)
def test_an_address_has_its_ascii_form_or_is_refused(email: str, ascii_form: str | None) -> None:
    """A merge in SQL must overwrite the form of the former address."""
    assert profile_of(inline(email=email)) == {"contact": {"email": email, "email_ascii": ascii_form}}


LOCAL = "a" * 64
LABELS = ".".join(["b" * 63] * 2)


def address(length: int, local: str = LOCAL, end: str = ".example.com") -> str:
    """Return an address of this length in octets."""
    start = f"{local}@{LABELS}."
    return start + "c" * (length - len((start + end).encode())) + end


def inline_profile(**members: Any) -> Json:
    return profile_of(inline(**members))


def is_accepted(email: str) -> bool:
    try:
        return inline(email=email).email == email
    except ValidationError:
        return False


@pytest.mark.parametrize(
    ("email", "accepted"),
    [
        (address(250), True),
        (address(254), True),
        (address(255), False),
        (address(254, end=".test"), True),
        (address(249, end=".localhost"), True),
        (f"{LOCAL}@example.com", True),
        (f"{LOCAL}a@example.com", False),
        (f"a@{'b' * 63}.example.com", True),
        (f"a@{'b' * 64}.example.com", False),
        (address(254, local="ä" * 32), True),
        (address(255, local="ä" * 32), False),
        ("ädä@exämple.de", True),
        ("用户@例子.公司", True),
        ("पता@उदाहरण.भारत", True),
        ("ada@shop.test", True),
        ("ada@test", True),
        ("ada@localhost", True),
        ("ada@mailpit", True),
        ("ada@example.com.", False),
        ("Ada <ada@example.com>", False),
        ('"ada lovelace"@example.com', False),
        ("ada@[127.0.0.1]", False),
        ("ada@", False),
        ("ada@example.com\r\nBcc: eve@example.com", False),
    ],
)
def test_an_address_has_up_to_254_octets_and_64_before_the_at(email: str, accepted: bool) -> None:
    assert is_accepted(email) is accepted


def test_a_development_only_address_is_named_with_its_pointer() -> None:
    profile = inline_profile(email="ada@shop.test", webhook_url="http://localhost:9000/hook", phone="+15550000001")
    rules = ContactRules(dev=False, targets=TargetPolicy(), phone_regions=None)
    pointers = [issue["pointer"] for issue in rules.find_profile_issues(profile, "items", 3, "recipient")]
    assert pointers == ["/items/3/recipient/email", "/items/3/recipient/webhook_url"]
    assert (
        rules.find_profile_issues(inline_profile(email="ada@example.com", webhook_url="https://example.com/hook")) == []
    )
    assert (
        ContactRules(dev=True, targets=TargetPolicy(ports=frozenset()), phone_regions=None).find_profile_issues(profile)
        == []
    )


@pytest.mark.parametrize("recipient_id", ["", "x" * 256, "a\nb", "a/b", ".", "..", "\x85"])
def test_an_id_that_a_path_cannot_carry_is_refused(recipient_id: str) -> None:
    with pytest.raises(ValidationError, match=r"must be 1 to 255 characters|at most 255"):
        inline(recipient_id=recipient_id)


@pytest.mark.parametrize("phone", ["+15550000001", "+15555550009", "+447700900123", "+4915112345678"])
def test_numbers_of_tests_and_dramas_are_possible(phone: str) -> None:
    assert profile_of(inline(phone=phone)) == {"contact": {"phone": phone}}


@pytest.mark.parametrize(
    "url", ["http://localhost:9000/x?y=1#z", "https://[::1]:8443/", "https://xn--exmple-cua.de/a%20b"]
)
def test_valid_urls_are_stored_unchanged(url: str) -> None:
    assert profile_of(inline(webhook_url=url)) == {"contact": {"webhook_url": url}}
