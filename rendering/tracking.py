"""Insert the tracking pixel and links into the HTML of an email when it is sent, and add to a web push message the URL
to which the browser reports. Called by `deliver`.

The record keeps the rendered content; all other bytes stay unchanged.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from html import escape

from domain.channels import Channel
from domain.evidence import ReceiptKind
from domain.notification_types import TrackingOptions
from domain.outgoing_messages import OutgoingMessage
from domain.tracking import LETTERS, TraceSigner, TrackedAction, normalize_target
from rendering.html_tags import Edit, apply_edits, find_tags, unescape_attribute

LINK_TAGS = ("a", "area")
# Tocsin's own pages: a click there is not interest in the message, and must work when everything else fails.
OWN_PAGES = ("t", "unsubscribe", "preferences")
PIXEL = '<img src="{}" alt="" width="1" height="1" style="display:block;border:0">'


class Tracker:
    """Build tracking URLs. `base_url` is the public URL, without a trailing slash."""

    def __init__(self, signer: TraceSigner, base_url: str) -> None:
        self._signer = signer
        self._base_url = base_url
        self._own_prefixes = tuple(f"{base_url}/{page}/" for page in OWN_PAGES)

    def add_tracking(self, message: OutgoingMessage, provider: str, tracking: TrackingOptions) -> OutgoingMessage:
        """Return the message to send through this provider, unchanged if it has nothing to track."""

        def url(kind: ReceiptKind, target: str = "") -> str:
            trace = TrackedAction(kind=kind, attempt_id=message.attempt_id, provider=provider, target=target)
            return f"{self._base_url}/t/{LETTERS[kind].decode()}/{self._signer.token(trace)}"

        if message.channel is Channel.WEB_PUSH:
            return replace(message, report_url=url(ReceiptKind.DELIVERED))
        html = message.content.get("html")
        if message.channel is not Channel.EMAIL or not html or not (tracking.opens or tracking.clicks):
            return message

        def link(target: str) -> str | None:
            return None if target.startswith(self._own_prefixes) else url(ReceiptKind.CLICKED, target)

        pixel = url(ReceiptKind.OPENED) if tracking.opens else None
        content = {**message.content, "html": rewrite_html(html, pixel, link if tracking.clicks else None)}
        return replace(message, content=content)


def rewrite_html(html: str, pixel: str | None, link: Callable[[str], str | None] | None) -> str:
    """Rewrite the HTML. `pixel` is a URL. `link` maps a target to the tracked URL, or None to leave it unchanged."""
    links: list[Edit] = []
    end = len(html)
    for tag in find_tags(html):
        if tag.name in ("/body", "/html"):
            # The last tag of either kind; an `</html>` never moves `end` past the end of the body.
            end = tag.start if tag.name == "/body" or end == len(html) else end
        elif link is not None and tag.name in LINK_TAGS and "href" in tag.values:
            start, stop = tag.values["href"]
            links += _link_edits(html, start, stop, link)
    images = [] if pixel is None else [(end, end, PIXEL.format(escape(pixel)))]
    return apply_edits(html, links + images)


def _link_edits(html: str, start: int, stop: int, link: Callable[[str], str | None]) -> Iterator[Edit]:
    target = normalize_target(unescape_attribute(html[start:stop]))
    replacement = link(target) if target else None
    if replacement is not None:
        yield start, stop, escape(replacement)
