"""Decide which addresses this installation and a tenant accept, beyond the format that the models check. Used by routes
and by the acceptance of sends.

Nothing here resolves a name, because the result must not reveal which internal hosts exist.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from urllib.parse import urlsplit

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from phonenumbers import PhoneNumberType

from config import Settings
from domain.audit import Caller
from domain.json_types import Json
from domain.target_urls import TargetPolicy
from domain.validation_issues import ValidationIssue, issue_at, pointer_of

# https://www.itu.int/pub/T-SP-E.164D: Inmarsat, the global mobile satellite system and international networks.
SATELLITE_CODES = frozenset({870, 881, 882, 883})
REGIONS = frozenset(phonenumbers.SUPPORTED_REGIONS)


class PhoneRefusal(StrEnum):
    PREMIUM_RATE = "premium_rate"
    SHARED_COST = "shared_cost"
    SATELLITE = "satellite"
    REGION = "region"


REFUSAL_BY_TYPE = {
    PhoneNumberType.PREMIUM_RATE: PhoneRefusal.PREMIUM_RATE,
    PhoneNumberType.SHARED_COST: PhoneRefusal.SHARED_COST,
}

PHONE_REFUSAL_MESSAGES = {
    PhoneRefusal.PREMIUM_RATE: "must not be a premium-rate number",
    PhoneRefusal.SHARED_COST: "must not be a shared-cost number",
    PhoneRefusal.SATELLITE: "must not be a number of a satellite or international network",
    PhoneRefusal.REGION: "must be a number of one of the regions in the tenant's phone_regions",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactRules:
    """`dev` also accepts addresses that only a developer's machine can reach. `phone_regions` None accepts all
    regions."""

    dev: bool
    targets: TargetPolicy
    phone_regions: Collection[str] | None

    @classmethod
    def of(cls, settings: Settings, caller: Caller) -> Self:
        return cls(dev=settings.is_dev, targets=settings.targets, phone_regions=caller.phone_regions)

    def find_profile_issues(self, profile: Json, *parent_path: str | int) -> list[ValidationIssue]:
        """Return the issues of a profile with its `contact`. `parent_path` is its position in the body."""
        contact = profile.get("contact", {})
        email, phone, issues = contact.get("email"), contact.get("phone"), []
        if email is not None and not self.dev and is_dev_only_email(email):
            issues.append(issue_at(pointer_of(*parent_path, "email"), "must have a domain that mail can reach"))
        if phone is not None and (refusal := phone_refusal(phone, self.phone_regions)):
            issues.append(issue_at(pointer_of(*parent_path, "phone"), PHONE_REFUSAL_MESSAGES[refusal]))
        return issues + self.find_url_issues(contact.get("webhook_url"), *parent_path, "webhook_url")

    def find_url_issues(self, url: str | None, *path: str | int) -> list[ValidationIssue]:
        if url is None:
            return []
        message = "must be an https URL" if not self.dev and is_dev_only_url(url) else self.targets.find_issue(url)
        return [issue_at(pointer_of(*path), message)] if message else []


def is_dev_only_email(email: str) -> bool:
    """Return whether mail cannot reach the domain: `.test`, localhost or a single word."""
    try:
        validate_email(email, strict=True, check_deliverability=False)
    except EmailNotValidError:
        return True
    return False


def is_dev_only_url(url: str) -> bool:
    return urlsplit(url).scheme != "https"


def phone_refusal(phone: str, regions: Collection[str] | None) -> PhoneRefusal | None:
    """Return why nothing is sent to a number in E.164, or None. `regions` are the allowed ones; None allows all.

    A number without a known region is in none of them.
    """
    try:
        number = phonenumbers.parse(phone, None)
    except phonenumbers.NumberParseException:
        return None if regions is None else PhoneRefusal.REGION
    if number.country_code in SATELLITE_CODES:
        return PhoneRefusal.SATELLITE
    if refusal := REFUSAL_BY_TYPE.get(phonenumbers.number_type(number)):
        return refusal
    if regions is not None and phonenumbers.region_code_for_number(number) not in regions:
        return PhoneRefusal.REGION
    return None
