"""Which addresses this installation and a tenant take, beyond the form that models check. Nothing here looks a name up:
the answer must not depend on what exists inside. Used by routes and the acceptance of sends."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from api.callers import Caller
from api.problems import Fault, at, invalid, pointer_of
from api.schemas.contact import dev_only_email, dev_only_url
from api.schemas.recipients import Profile
from config import Settings
from domain.targets import Targets
from storage.phone_numbers import PhoneRefusal, phone_refusal

REFUSED_PHONES = {
    PhoneRefusal.PREMIUM_RATE: "must not be a premium-rate number",
    PhoneRefusal.SHARED_COST: "must not be a shared-cost number",
    PhoneRefusal.SATELLITE: "must not be a number of a satellite or international network",
    PhoneRefusal.REGION: "must be a number of one of the regions in the tenant's phone_regions",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactRules:
    """`dev`: what only a developer's machine can reach is taken too. `phone_regions` None: all."""

    dev: bool
    targets: Targets
    phone_regions: Collection[str] | None

    @classmethod
    def of(cls, settings: Settings, caller: Caller) -> Self:
        return cls(dev=settings.dev, targets=settings.targets, phone_regions=caller.phone_regions)

    def profile_faults(self, profile: Profile, *above: str | int) -> list[Fault]:
        """`above` is where the profile stands in the body."""
        faults = []
        if profile.email is not None and not self.dev and dev_only_email(profile.email):
            faults.append(at(pointer_of(*above, "email"), "must have a domain that mail can reach"))
        if profile.phone is not None and (refused := phone_refusal(profile.phone, self.phone_regions)):
            faults.append(at(pointer_of(*above, "phone"), REFUSED_PHONES[refused]))
        return faults + self.url_faults(profile.webhook_url, *above, "webhook_url")

    def url_faults(self, url: str | None, *place: str | int) -> list[Fault]:
        if url is None:
            return []
        wrong = "must be an https URL" if not self.dev and dev_only_url(url) else self.targets.fault(url)
        return [at(pointer_of(*place), wrong)] if wrong else []


def refuse(faults: list[Fault]) -> None:
    if faults:
        raise invalid(*faults)
