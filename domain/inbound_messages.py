"""Define the messages that recipients send to our phone numbers, and the keywords that such a message may be."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from domain.stored_enums import StoredEnum
from domain.vendor_values import clean_id, clean_raw


class Keyword(StoredEnum):
    STOP = "stop"
    START = "start"
    HELP = "help"


# 47 CFR 64.1200(a)(10) and the guidelines of the carriers (CTIA), and STOPALL, which vendors use too.
WORDS: Mapping[Keyword, frozenset[str]] = {
    Keyword.STOP: frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"}),
    Keyword.START: frozenset({"START", "UNSTOP"}),
    Keyword.HELP: frozenset({"HELP", "INFO"}),
}
NON_LETTERS = re.compile(r"[\W_]+")
PHONE_NUMBER = re.compile(r"\+[1-9][0-9]{3,14}", re.ASCII)
# Some vendors omit the +. A shorter number is a short code.
BARE_PHONE_NUMBER = re.compile(r"[1-9][0-9]{6,14}", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class InboundMessage:
    """Hold one message. `is_answered`: the vendor answers this keyword itself. Numbers and text are personal data:
    they are neither logged nor passed to Temporal.

    Adapters pass what the vendor sends. Phone numbers are kept in E.164, with +; short codes and names as they are.
    """

    provider_message_id: str | None
    from_number: str = field(repr=False)
    to_number: str = field(repr=False)
    text: str = field(repr=False)
    keyword: Keyword | None
    is_answered: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "provider_message_id", clean_id(self.provider_message_id))
        object.__setattr__(self, "from_number", _clean_number(self.from_number))
        object.__setattr__(self, "to_number", _clean_number(self.to_number))
        object.__setattr__(self, "text", clean_raw(self.text))

    @property
    def is_from_phone(self) -> bool:
        return is_phone_number(self.from_number)


def is_phone_number(text: str) -> bool:
    """Return whether this is a number in E.164, and no short code or name."""
    return PHONE_NUMBER.fullmatch(text) is not None


def _clean_number(number: str) -> str:
    return f"+{number}" if BARE_PHONE_NUMBER.fullmatch(number) else clean_id(number) or ""


def find_keyword(text: str, start_words: Collection[str] = ()) -> Keyword | None:
    """Return the keyword that the whole text is, whatever its case, spaces and punctuation. `start_words` are further
    words that a vendor obeys as START.
    """
    word = NON_LETTERS.sub("", text).upper()
    if word in start_words:
        return Keyword.START
    return next((keyword for keyword, words in WORDS.items() if word in words), None)
