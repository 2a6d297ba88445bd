"""Serve the page `/outbox`: the messages that the sandbox accepted. The API includes it at the root; 404 unless in
development.

It needs no key, so it is for a developer's own machine and is available only under names of that machine. Emails are
shown in frames that run no script, and the page may load nothing from other hosts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.filters import do_filesizeformat

from config import Settings
from domain.channels import Channel
from domain.cursors import Cursor, parse_cursor
from domain.json_types import Json
from domain.names import workflow_id
from storage import sandbox
from storage.database import Database
from storage.sandbox import OutboxEntry

PAGE_SIZE = 50
MAX_EXCERPT_LENGTH = 2_000
HEADERS = {
    # Frames inherit this policy and emails contain inline styles, so 'unsafe-inline' is allowed for styles.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
}

router = APIRouter(include_in_schema=False)
page_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


class OutboxContainer(Protocol):
    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxCard:
    """One message of the page. `html` is set for emails; `options` are names and values of an email's options."""

    channel: str
    recipient_id: str
    to: str
    title: str
    text: str
    html: str | None
    options: list[tuple[str, str]]
    accepted_at: datetime
    workflow_url: str | None


@router.get("/outbox")
async def show_outbox(request: Request, recipient_id: str = "", channel: str = "", before: str = "") -> HTMLResponse:
    """Render the page. An invalid filter or cursor is ignored."""
    container: OutboxContainer = request.app.state.container
    if not container.settings.is_dev:
        raise HTTPException(404)
    wanted_recipient_id = recipient_id.replace("\x00", "").strip()
    wanted_channel = channel if channel in set(Channel) else ""
    async with container.database.transaction() as session:
        entries = await sandbox.list_page(
            session,
            None,
            recipient_id=wanted_recipient_id or None,
            channel=wanted_channel or None,
            limit=PAGE_SIZE + 1,
            before=_cursor(before),
        )
    filters = {"recipient_id": wanted_recipient_id, "channel": wanted_channel}
    html = page_templates.get_template("outbox.html").render(
        cards=[outbox_card(entry, container.settings) for entry in entries[:PAGE_SIZE]],
        channels=list(Channel),
        older=_older_page_url(entries, filters),
        newest=not before,
        **filters,
    )
    return HTMLResponse(html, headers=HEADERS)


def outbox_card(entry: OutboxEntry, settings: Settings) -> OutboxCard:
    content = entry.content
    html = content.get("html")
    return OutboxCard(
        channel=entry.channel,
        recipient_id=entry.recipient_id,
        to=_address_text(entry.address),
        title=str(content.get("subject") or content.get("title") or ""),
        text=str(content.get("text") or content.get("body") or "")[:MAX_EXCERPT_LENGTH],
        html=html if isinstance(html, str) else None,
        options=list(_email_options(entry.email)) if entry.email else [],
        accepted_at=entry.accepted_at,
        workflow_url=_workflow_url(entry, settings),
    )


def _email_options(email: Json) -> Iterator[tuple[str, str]]:
    """Yield the options as mail programs name them. An attachment has no link: the API never returns the content."""
    for name, mailbox in (("From", email["sender"]), ("Reply-To", email["reply_to"])):
        if mailbox:
            yield name, f"{mailbox['name']} <{mailbox['email']}>" if mailbox["name"] else mailbox["email"]
    for name, addresses in (("Cc", email["cc"]), ("Bcc", email["bcc"])):
        if addresses:
            yield name, ", ".join(addresses)
    yield from email["headers"].items()
    for attachment in email["attachments"]:
        size = do_filesizeformat(attachment["size"])
        yield "Attachment", f"{attachment['name']} ({attachment['content_type']}, {size})"


def _address_text(address: Json) -> str:
    """Return the values of an address. Of a browser's subscription only the endpoint is useful to a reader."""
    subscription = address.get("subscription")
    values = subscription if isinstance(subscription, dict) else address
    return ", ".join(value for value in values.values() if isinstance(value, str))


def _workflow_url(entry: OutboxEntry, settings: Settings) -> str | None:
    if not settings.temporal_ui_url:
        return None
    name = workflow_id(entry.notification_id, entry.generation)
    return f"{settings.temporal_ui_url.rstrip('/')}/namespaces/{quote(settings.temporal_namespace)}/workflows/{name}"


def _cursor(text: str) -> Cursor | None:
    try:
        return parse_cursor(text) if text else None
    except ValueError:
        return None


def _older_page_url(entries: list[OutboxEntry], filters: dict[str, str]) -> str | None:
    if len(entries) <= PAGE_SIZE:
        return None
    last = entries[PAGE_SIZE - 1]
    return "/outbox?" + urlencode({**filters, "before": Cursor(last.accepted_at, last.id)})
