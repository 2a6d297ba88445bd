"""Serve the scripts of web push: `/web/tocsin-sw.js` and `/web/tocsin-push.js`. The API includes them at the root.

They have no secrets and may be loaded by every site. A browser takes a service worker only from the site's own origin;
docs/web-push.md shows the one line with which that worker loads ours.
"""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

FOLDER = Path(__file__).parent
HEADERS = {
    "Cache-Control": "public, max-age=3600",
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    # Of the worker itself: it connects to the site and to Tocsin, and runs no other script.
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; script-src 'self'",
}

router = APIRouter(include_in_schema=False)


@router.get("/web/tocsin-sw.js")
async def get_service_worker() -> FileResponse:
    return _script("tocsin-sw.js")


@router.get("/web/tocsin-push.js")
async def get_subscribe_script() -> FileResponse:
    return _script("tocsin-push.js")


def _script(name: str) -> FileResponse:
    return FileResponse(FOLDER / name, media_type="text/javascript", headers=HEADERS)
