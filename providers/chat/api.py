"""Define what differs between chat services: the request, the response and the codes of its errors."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from domain.json_types import Json
from providers.transport import VendorResponse, parse_retry_after

MAX_DELAY = 86_400.0


class ChatApi(ABC):
    """Describe one service. `reasons` maps its error codes to ours; other codes are not recorded, because they may
    quote the request.
    """

    reasons: ClassVar[Mapping[str, str]]

    def address_of(self, url: str) -> str:
        """Return where to post."""
        return url

    @abstractmethod
    def encode(self, url: str, text: str) -> Json:
        """Return the body of the request. The text appears as it is: its characters format and mention nothing."""

    @abstractmethod
    def is_accepted(self, response: VendorResponse) -> bool:
        """Return whether this is the documented success."""

    def message_id(self, response: VendorResponse) -> str | None:
        """Return the id of an accepted message, if the service has one."""
        return None

    @abstractmethod
    def error_code(self, response: VendorResponse) -> str:
        """Return the code of an error, as `reasons` lists it."""

    def retry_after(self, response: VendorResponse) -> float | None:
        """Return the seconds to wait after a 429."""
        return parse_retry_after(response.headers)


def parse_seconds(value: object) -> float | None:
    """Return the seconds that JSON contains; None if they are no positive number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(min(value, MAX_DELAY)) if value > 0 else None
