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
from domain.channels import Channel
from domain.email_options import is_in_domains
from domain.json_types import Json
from domain.notification_types import NotificationType
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

UNREACHABLE_DOMAIN = "must have a domain that mail can reach"
FOREIGN_DOMAIN = "must have one of the tenant's email domains, which the operator sets"


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactRules:
    """`dev` also accepts addresses that only a developer's machine can reach. `phone_regions` None accepts all
    regions."""

    dev: bool
    targets: TargetPolicy
    phone_regions: Collection[str] | None
    email_domains: Collection[str] = ()

    @classmethod
    def of(cls, settings: Settings, caller: Caller) -> Self:
        return cls(
            dev=settings.is_dev,
            targets=settings.targets,
            phone_regions=caller.phone_regions,
            email_domains=caller.email_domains,
        )

    def find_profile_issues(self, profile: Json, *parent_path: str | int) -> list[ValidationIssue]:
        """Return the issues of a profile with its `contact`. `parent_path` is its position in the body."""
        contact = profile.get("contact", {})
        email, phone, issues = contact.get("email"), contact.get("phone"), []
        if email is not None and not self.dev and is_dev_only_email(email):
            issues.append(issue_at(pointer_of(*parent_path, "email"), UNREACHABLE_DOMAIN))
        if phone is not None and (refusal := phone_refusal(phone, self.phone_regions)):
            issues.append(issue_at(pointer_of(*parent_path, "phone"), PHONE_REFUSAL_MESSAGES[refusal]))
        return issues + self.find_url_issues(contact.get("webhook_url"), *parent_path, "webhook_url")

    def find_email_issues(self, options: Json, notification_type: NotificationType) -> list[ValidationIssue]:
        """Return the issues of the email options of a send."""
        if Channel.EMAIL not in notification_type.channels:
            return [issue_at("/email", "is not possible: the notification type has no email channel")]
        if notification_type.timing.collects:
            return [issue_at("/email", "is not possible: the notification type collects its messages into digests")]
        issues = self.find_mailbox_issues(options.get("reply_to"), "email", "reply_to")
        for name in ("cc", "bcc"):
            issues += [
                issue_at(pointer_of("email", name, index), UNREACHABLE_DOMAIN)
                for index, email in enumerate(options.get(name, ()))
                if not self.dev and is_dev_only_email(email)
            ]
        return issues

    def find_mailbox_issues(self, mailbox: Json | None, *path: str | int) -> list[ValidationIssue]:
        """Return an issue if the domain of a sender or a reply address is not one of the tenant's."""
        if mailbox is None or is_in_domains(mailbox["email"], self.email_domains):
            return []
        return [issue_at(pointer_of(*path, "email"), FOREIGN_DOMAIN)]

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
