"""Numbers that cost a fortune, and regions, as the numbers themselves show them."""

import pytest

from services.contact_rules import PhoneRefusal, phone_refusal

REFUSED = {
    PhoneRefusal.PREMIUM_RATE: [
        *("+499001234567", "+43900123456", "+449098790000", "+19002345678", "+33899123456", "+41900123456"),
        "+979123456789",  # international premium rate
    ],
    PhoneRefusal.SHARED_COST: ["+491805123456", "+43810123456", "+80812345678"],
    PhoneRefusal.SATELLITE: ["+870773111632", "+881612345678", "+88216123456", "+883510012345678"],
}


@pytest.mark.parametrize(("phone", "why"), [(phone, why) for why, phones in REFUSED.items() for phone in phones])
def test_an_expensive_number_is_refused_in_every_region(phone: str, why: PhoneRefusal) -> None:
    assert phone_refusal(phone, None) is why
    assert phone_refusal(phone, {"DE", "AT", "GB", "US", "FR", "CH", "001"}) is why


@pytest.mark.parametrize(
    ("phone", "region"),
    [
        *(("+4917012345678", "DE"), ("+436641234567", "AT"), ("+447400123456", "GB"), ("+12015550123", "US")),
        *(("+18765551234", "JM"), ("+14165550123", "CA"), ("+77011234567", "KZ"), ("+447781123456", "GG")),
    ],
)
def test_a_number_belongs_to_one_region_also_where_regions_share_a_code(phone: str, region: str) -> None:
    assert phone_refusal(phone, None) is None
    assert phone_refusal(phone, [region]) is None
    assert phone_refusal(phone, {"FR", "IT"}) is PhoneRefusal.REGION


@pytest.mark.parametrize("phone", ["+15550000001", "+80012345678", "+9991", "0664"])
def test_an_unassigned_region_is_allowed_unless_regions_are_set(phone: str) -> None:
    assert phone_refusal(phone, None) is None
    assert phone_refusal(phone, ["US", "DE"]) is PhoneRefusal.REGION
