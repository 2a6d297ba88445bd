"""Build the request fields other than the content: categories and tracking settings. Used by `sendgrid`."""

from typing import Any

from domain.outgoing_messages import OutgoingMessage

# https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send: at most ten, of 255 characters each.
MAX_CATEGORIES = 10
MAX_CATEGORY_LENGTH = 255
# The account may have enabled these: they rewrite links, add a pixel, and add parameters to links.
NO_TRACKING = {
    "click_tracking": {"enable": False, "enable_text": False},
    "open_tracking": {"enable": False},
    "ganalytics": {"enable": False},
}


def build_options(message: OutgoingMessage) -> dict[str, Any]:
    """Return the request fields that depend on the message's tags and type."""
    options: dict[str, Any] = {} if message.vendor_tracking else {"tracking_settings": NO_TRACKING}
    if categories := categories_of(message):
        options["categories"] = categories
    return options


def categories_of(message: OutgoingMessage) -> list[str]:
    """Return the tags that are valid SendGrid categories: one invalid category would fail the whole email."""
    valid_tags = (tag for tag in message.tags if tag.isascii() and 0 < len(tag) <= MAX_CATEGORY_LENGTH)
    return list(dict.fromkeys(valid_tags))[:MAX_CATEGORIES]
