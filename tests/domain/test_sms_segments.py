"""Test the counting of SMS segments with published examples, at the limits of a segment, and by its properties."""

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.channels import Channel
from domain.sms_segments import (
    GSM7_BASIC,
    GSM7_EXTENSION,
    SmsEncoding,
    SmsSegments,
    count_segments,
    is_gsm7,
    segments_of,
)

GSM7, UCS2 = SmsEncoding
GSM7_TEXTS = st.text(st.sampled_from(sorted(GSM7_BASIC | GSM7_EXTENSION)), max_size=700)
UCS2_TEXTS = st.text(st.characters(codec="utf-8"), max_size=400).map(lambda text: f"\u4f60{text}")

# https://github.com/TwilioDevEd/message-segment-calculator, tests/index.test.js: sizes of texts in bits, here in units.
TWILIO_EXAMPLES = {
    "escape in one segment": ("{" + "2" * 158, GSM7, 1, 160),
    "escape in two segments": ("{" + "2" * 159, GSM7, 2, 161),
    "emoji in one segment": ("\U0001f61c" + "2" * 68, UCS2, 1, 70),
    "emoji in two segments": ("\U0001f61c" + "2" * 69, UCS2, 2, 71),
}
# https://developer.vonage.com/en/messaging/sms/guides/concatenation-and-encoding: 160 and 153, 70 and 67.
LIMITS = {
    "empty": ("", GSM7, 1, 0),
    "160": ("a" * 160, GSM7, 1, 160),
    "161": ("a" * 161, GSM7, 2, 161),
    "two parts of 153": ("a" * 306, GSM7, 2, 306),
    "two parts of 153 and one": ("a" * 307, GSM7, 3, 307),
    "70": ("\u4f60" * 70, UCS2, 1, 70),
    "71": ("\u4f60" * 71, UCS2, 2, 71),
    "two parts of 67": ("\u4f60" * 134, UCS2, 2, 134),
    "two parts of 67 and one": ("\u4f60" * 135, UCS2, 3, 135),
    "one quote": ("a" * 159 + "\u2019", UCS2, 3, 160),
    "an escaped character that does not fit": ("a" * 152 + "\u20ac" + "a" * 152, GSM7, 3, 306),
    "an escaped character that fits": ("a" * 151 + "\u20ac" + "a" * 153, GSM7, 2, 306),
    "a surrogate pair that does not fit": ("\u4f60" * 66 + "\U0001f600" + "\u4f60" * 66, UCS2, 3, 134),
    "a surrogate pair that fits": ("\u4f60" * 65 + "\U0001f600" + "\u4f60" * 67, UCS2, 2, 134),
}


@pytest.mark.parametrize("name", TWILIO_EXAMPLES | LIMITS)
def test_a_text_has_its_number_of_segments(name: str) -> None:
    text, encoding, segments, units = (TWILIO_EXAMPLES | LIMITS)[name]
    assert count_segments(text) == SmsSegments(encoding=encoding, segments=segments, units=units)


def test_gsm7_has_the_characters_of_the_standard() -> None:
    """3GPP TS 23.038, 6.2.1: 128 septets, of which one is the escape, and ten characters after it."""
    assert (len(GSM7_BASIC), len(GSM7_EXTENSION), len(GSM7_BASIC & GSM7_EXTENSION)) == (127, 10, 0)
    printable = {chr(code) for code in range(0x20, 0x7F)}
    assert printable - GSM7_BASIC - GSM7_EXTENSION == {"`"}


@pytest.mark.parametrize("text", ["\u00e7", "\t", "\x1b", "\u00a0", "\u2026", "\u0065\u0301", "\u0391"])
def test_one_other_character_makes_a_text_ucs2(text: str) -> None:
    assert not is_gsm7(f"abc{text}")
    assert count_segments(f"abc{text}").encoding is UCS2


@given(GSM7_TEXTS)
def test_a_gsm7_text_wastes_at_most_one_unit_of_a_part(text: str) -> None:
    found = count_segments(text)
    assert (found.encoding, found.units) == (GSM7, len(text) + sum(map(text.count, GSM7_EXTENSION)))
    assert_bounds(found, single=160, part=153)


@given(UCS2_TEXTS)
def test_a_ucs2_text_counts_utf16_code_units(text: str) -> None:
    found = count_segments(text)
    assert (found.encoding, found.units) == (UCS2, len(text.encode("utf-16-le")) // 2)
    assert_bounds(found, single=70, part=67)


def assert_bounds(found: SmsSegments, *, single: int, part: int) -> None:
    if found.units <= single:
        assert found.segments == 1
    else:
        assert ceil(found.units / part) <= found.segments <= ceil(found.units / (part - 1))


@given(GSM7_TEXTS, GSM7_TEXTS)
def test_a_longer_text_never_has_fewer_segments(one: str, other: str) -> None:
    assert count_segments(one + other).segments >= count_segments(one).segments


def test_only_an_sms_with_content_has_segments() -> None:
    assert segments_of(Channel.SMS, {"text": "Hi"}) == count_segments("Hi")
    assert segments_of(Channel.SMS, None) is None
    assert segments_of(Channel.EMAIL, {"text": "Hi"}) is None
