"""Serve the page `/unsubscribe/{token}`: a GET asks, a POST unsubscribes. The API includes it at the root.

Requests are not authenticated: the encrypted token names the recipient. Mail programs post to the same address without
showing the page (RFC 8058), and link scanners read it, so a GET changes nothing.
"""

from pathlib import Path
from typing import Protocol

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from config import Settings
from domain.clock import now
from services.unsubscribing import UnsubscribeLinks, Unsubscription, unsubscribe
from storage.database import Database

NOT_FOUND_PAGE = "<!doctype html><title>Not found</title><p>This link is invalid or older than a year.</p>"
HEADERS = {
    "X-Robots-Tag": "noindex",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
}

router = APIRouter(include_in_schema=False)
page_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


class UnsubscribeContainer(Protocol):
    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...


@router.api_route("/unsubscribe/{token}", methods=["GET", "HEAD"])
async def show_question(token: str, request: Request) -> HTMLResponse:
    """Ask whether to unsubscribe."""
    found = _read(token, request)
    return _not_found() if found is None else _page(found, is_unsubscribed=False)


@router.post("/unsubscribe/{token}")
async def unsubscribe_recipient(token: str, request: Request) -> HTMLResponse:
    """Unsubscribe. Idempotent. The body is not read: the token identifies recipient and category."""
    found = _read(token, request)
    if found is None:
        return _not_found()
    container: UnsubscribeContainer = request.app.state.container
    async with container.database.transaction() as session:
        await unsubscribe(session, found)
    return _page(found, is_unsubscribed=True)


def _read(token: str, request: Request) -> Unsubscription | None:
    settings: Settings = request.app.state.container.settings
    return UnsubscribeLinks(settings.secret, settings.base_url).read(token, now())


def _page(found: Unsubscription, *, is_unsubscribed: bool) -> HTMLResponse:
    page = page_templates.get_template("unsubscribe.html")
    return HTMLResponse(page.render(name=found.name, is_unsubscribed=is_unsubscribed), headers=HEADERS)


def _not_found() -> HTMLResponse:
    return HTMLResponse(NOT_FOUND_PAGE, 404, headers=HEADERS)
