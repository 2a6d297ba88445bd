"""Define the messages that recipients send to our phone numbers, and the keywords that such a message may be."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from domain.stored_enums import StoredEnum


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


@dataclass(frozen=True, kw_only=True, slots=True)
class InboundMessage:
    """Hold one message. `is_answered`: the vendor answers this keyword itself. Numbers and text are personal data:
    they are neither logged nor passed to Temporal.
    """

    provider_message_id: str | None
    from_number: str = field(repr=False)
    to_number: str = field(repr=False)
    text: str = field(repr=False)
    keyword: Keyword | None
    is_answered: bool = False


def find_keyword(text: str, start_words: Collection[str] = ()) -> Keyword | None:
    """Return the keyword that the whole text is, whatever its case, spaces and punctuation. `start_words` are further
    words that a vendor obeys as START.
    """
    word = NON_LETTERS.sub("", text).upper()
    if word in start_words:
        return Keyword.START
    return next((keyword for keyword, words in WORDS.items() if word in words), None)
