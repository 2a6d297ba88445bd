"""Define addresses, languages, time zones and ids of recipients as fields of request models. No message repeats a
value.

Addresses that only a developer's machine can reach (`ada@shop.test`, plain http) pass here, because a model does not
know its environment. `services/contact_rules.py` detects them.
"""

import re
from contextlib import suppress
from functools import lru_cache
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import phonenumbers
from email_validator import EmailNotValidError, ValidatedEmail, validate_email
from pydantic import AfterValidator, Field

from domain.chat_urls import chat_service_of
from domain.languages import normalize_tag

E164 = re.compile(r"\+[1-9][0-9]{3,14}", re.ASCII)
URL_CHARACTERS = re.compile(
    r"[!-\[\]-~]+", re.ASCII
)  # visible ASCII except the backslash, which parsers treat differently
HOST_PATTERN = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|[0-9a-f:.]+", re.ASCII)
# A name that a path can carry: no slash, no dot segment, no control characters.
PATH_SAFE_NAME = re.compile(r"(?!\.{1,2}\Z)[^/\x00-\x1f\x7f-\x9f]{1,255}")

TEST_SUFFIX = ".test"


def _normalize_email(value: str) -> str:
    return _parse_email(value)[0]


def _parse_email(value: str) -> tuple[str, str | None]:
    """Return the address in its normal form and in ASCII, None if the part before the @ is not ASCII.

    The limits are those of RFC 5321 in octets: 254 for the address, 64 before the @. Special names such as localhost
    and single words are accepted. The library accepts special names only with a suffix, which leaves 249 octets.
    """
    with suppress(EmailNotValidError):
        validated = _validate_email(value)
        return validated.normalized, validated.ascii_email
    try:
        in_test_domain = _validate_email(value + TEST_SUFFIX)
    except EmailNotValidError:
        raise ValueError("must be an email address") from None
    return in_test_domain.normalized.removesuffix(
        TEST_SUFFIX
    ), in_test_domain.ascii_email and in_test_domain.ascii_email.removesuffix(TEST_SUFFIX)


def _validate_email(value: str) -> ValidatedEmail:
    return validate_email(
        value, strict=True, check_deliverability=False, test_environment=True, globally_deliverable=False
    )


def ascii_email(email: str) -> str | None:
    """Return the address with its domain in ASCII, None if the part before the @ is not ASCII."""
    return _parse_email(email)[1]


def _normalize_phone(value: str) -> str:
    message = "must be a phone number in E.164, such as +4917012345678"
    if not E164.fullmatch(value):
        raise ValueError(message)
    try:
        number = phonenumbers.parse(value, None)
    except phonenumbers.NumberParseException:
        raise ValueError(message) from None
    if not phonenumbers.is_possible_number(number):
        raise ValueError(message)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _check_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        has_valid_port = parts.port != 0
    except ValueError:
        parts, has_valid_port = urlsplit(""), False
    has_valid_host = HOST_PATTERN.fullmatch(parts.hostname or "") is not None
    if not (
        URL_CHARACTERS.fullmatch(value) and parts.scheme in ("http", "https") and has_valid_host and has_valid_port
    ):
        raise ValueError("must be an http or https URL")
    if "@" in parts.netloc:
        raise ValueError("must not contain credentials")
    return value


def _check_chat_url(value: str) -> str:
    if chat_service_of(value) is None:
        raise ValueError(
            "must be the https URL of a Slack, Discord or Teams webhook, or Telegram's sendMessage with a chat_id"
        )
    return value


@lru_cache
def _zones() -> frozenset[str]:
    """Return the names of the IANA database. A name without a capital letter is not one of them, but the zone of the
    host."""
    return frozenset(name for name in available_timezones() if name != name.lower())


def check_zone(value: str) -> str:
    if value not in _zones():
        raise ValueError("must be a time zone name of the IANA database, such as Europe/Vienna")
    return value


def _check_name(value: str) -> str:
    if not PATH_SAFE_NAME.fullmatch(value):
        raise ValueError("must be 1 to 255 characters without '/' and control characters, and not '.' or '..'")
    return value


Email = Annotated[str, Field(max_length=320, examples=["ada@example.com"]), AfterValidator(_normalize_email)]
Phone = Annotated[str, Field(max_length=16, examples=["+4917012345678"]), AfterValidator(_normalize_phone)]
WebUrl = Annotated[str, Field(max_length=2_048, examples=["https://example.com/hook"]), AfterValidator(_check_url)]
ChatUrl = Annotated[
    str,
    Field(
        max_length=2_048,
        examples=["https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXX"],
        json_schema_extra={"writeOnly": True},
    ),
    AfterValidator(_check_chat_url),
]
Locale = Annotated[str, Field(max_length=35, examples=["de-AT"]), AfterValidator(normalize_tag)]
TimeZone = Annotated[str, Field(max_length=64, examples=["Europe/Vienna"]), AfterValidator(check_zone)]
RecipientId = Annotated[str, Field(max_length=255, examples=["user-42"]), AfterValidator(_check_name)]
DeviceName = Annotated[str, Field(max_length=255, examples=["phone"]), AfterValidator(_check_name)]
