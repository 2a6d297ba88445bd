"""Test which texts are keywords, and what is kept of a message."""

from typing import Any

import pytest

from domain.inbound_messages import WORDS, InboundMessage, Keyword, find_keyword


@pytest.mark.parametrize(
    ("keyword", "word"), [(keyword, word) for keyword, words in WORDS.items() for word in sorted(words)]
)
@pytest.mark.parametrize("form", ["{}", "  {}.\n", "'{}'!", "__{}__"])
def test_a_word_is_a_keyword_in_any_case_and_punctuation(keyword: Keyword, word: str, form: str) -> None:
    assert find_keyword(form.format(word)) is find_keyword(form.format(word.lower())) is keyword


@pytest.mark.parametrize("text", ["opt-out", "Opt Out", "OPT_OUT", "stop all"])
def test_spaces_and_hyphens_within_a_word_do_not_matter(text: str) -> None:
    assert find_keyword(text) is Keyword.STOP


@pytest.mark.parametrize("text", ["", "...", "please stop", "stop it", "the end", "helpful", "I need help", "💩"])
def test_a_sentence_is_no_keyword(text: str) -> None:
    assert find_keyword(text) is None


def test_a_vendor_has_further_words_for_start() -> None:
    assert find_keyword("Yes!", {"YES"}) is Keyword.START
    assert find_keyword("Yes!") is find_keyword("Yes please", {"YES"}) is None


def test_no_word_belongs_to_two_keywords() -> None:
    assert sum(len(words) for words in WORDS.values()) == len(frozenset().union(*WORDS.values()))


def inbound(**fields: str) -> InboundMessage:
    values: dict[str, Any] = {"from_number": "+447700900000", "to_number": "12345", "text": "Hi", **fields}
    return InboundMessage(**{"provider_message_id": "1", "keyword": None, **values})


@pytest.mark.parametrize(
    ("given", "kept", "is_phone_number"),
    [
        ("+447700900000", "+447700900000", True),
        ("447700900000", "+447700900000", True),
        ("+6834001", "+6834001", True),
        ("12345", "12345", False),
        ("Shop", "Shop", False),
        ("", "", False),
        ("+0447700900000", "+0447700900000", False),
        ("whatsapp:+447700900000", "whatsapp:+447700900000", False),
        ("+44770090000\x00", "+44770090000\ufffd", False),
    ],
)
def test_a_phone_number_is_kept_in_e164(given: str, kept: str, is_phone_number: bool) -> None:
    message = inbound(from_number=given, to_number=given)
    assert (message.from_number, message.to_number) == (kept, kept)
    assert message.is_from_phone is is_phone_number


def test_a_message_can_be_stored_whatever_the_vendor_sends() -> None:
    message = inbound(text="a\x00b\ud800", to_number="x" * 300, provider_message_id="1\x00")
    assert (message.text, message.provider_message_id) == ("a\ufffdb\ufffd", "1\ufffd")
    assert len(message.to_number) == 255
