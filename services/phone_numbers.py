"""Phone numbers that nothing is sent to, by what the numbers themselves show: messages to them are expensive, or their
region is none that the tenant writes to. Asked when a number is written and again when it is used."""

from collections.abc import Collection
from enum import StrEnum

import phonenumbers
from phonenumbers import PhoneNumberType

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


def phone_refusal(phone: str, regions: Collection[str] | None) -> PhoneRefusal | None:
    """Return why nothing is sent to this number in E.164. `regions` are the allowed ones; None allows all.

    A number whose region is not known, or that is none, is of none of them.
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
