"""Decide which addresses this installation and a tenant accept, beyond the format that the models check. Used by routes
and by the acceptance of sends.

Nothing here resolves a name, because the result must not reveal which internal hosts exist.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from api.callers import Caller
from api.problems import ValidationIssue, invalid, issue_at, pointer_of
from api.schemas.contact import is_dev_only_email, is_dev_only_url
from api.schemas.recipients import Profile
from config import Settings
from domain.target_urls import TargetPolicy
from services.phone_numbers import PhoneRefusal, phone_refusal

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

    def find_profile_issues(self, profile: Profile, *parent_path: str | int) -> list[ValidationIssue]:
        """Return the issues of a profile. `parent_path` is its position in the body."""
        issues = []
        if profile.email is not None and not self.dev and is_dev_only_email(profile.email):
            issues.append(issue_at(pointer_of(*parent_path, "email"), "must have a domain that mail can reach"))
        if profile.phone is not None and (refusal := phone_refusal(profile.phone, self.phone_regions)):
            issues.append(issue_at(pointer_of(*parent_path, "phone"), PHONE_REFUSAL_MESSAGES[refusal]))
        return issues + self.find_url_issues(profile.webhook_url, *parent_path, "webhook_url")

    def find_url_issues(self, url: str | None, *path: str | int) -> list[ValidationIssue]:
        if url is None:
            return []
        message = "must be an https URL" if not self.dev and is_dev_only_url(url) else self.targets.find_issue(url)
        return [issue_at(pointer_of(*path), message)] if message else []


def raise_issues(issues: list[ValidationIssue]) -> None:
    if issues:
        raise invalid(*issues)
