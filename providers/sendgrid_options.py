"""What SendGrid gets with a mail beside its content: categories, and that it must not track. Used by `sendgrid`."""

from typing import Any

from domain.outgoing_messages import OutgoingMessage

# https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send: at most ten, of 255 characters each.
MAX_CATEGORIES = 10
MAX_CATEGORY_LENGTH = 255
# What an account may have switched on rewrites links, adds a pixel, and adds parameters to links.
NO_TRACKING = {
    "click_tracking": {"enable": False, "enable_text": False},
    "open_tracking": {"enable": False},
    "ganalytics": {"enable": False},
}


def build_options(message: OutgoingMessage) -> dict[str, Any]:
    """Return the fields of the request that the message's tags and its type decide."""
    options: dict[str, Any] = {} if message.vendor_tracking else {"tracking_settings": NO_TRACKING}
    if categories := categories_of(message):
        options["categories"] = categories
    return options


def categories_of(message: OutgoingMessage) -> list[str]:
    """Return the tags that SendGrid takes as categories; one that it does not take would cost the whole mail."""
    valid_tags = (tag for tag in message.tags if tag.isascii() and 0 < len(tag) <= MAX_CATEGORY_LENGTH)
    return list(dict.fromkeys(valid_tags))[:MAX_CATEGORIES]
