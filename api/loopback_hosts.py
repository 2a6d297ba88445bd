"""In development, restrict pages without a key to names of this machine (protection against DNS rebinding).

A web page whose name resolves to 127.0.0.1 has the same origin as the API for the browser and could read the outbox.
The browser still sends the page's own name as Host.
"""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import Problem
from domain.hosts import host_of, is_loopback

# Paths that need a key, a signature or an encrypted token, those of probes, and scripts without data.
UNRESTRICTED_PATHS = ("/api/v1/", "/t/", "/unsubscribe/", "/web/", "/healthz", "/readyz")
HOST_REFUSED = (
    "In development this page is available only under names of this machine, such as localhost and 127.0.0.1."
)


class LoopbackHostMiddleware:
    """Refuse requests under other hosts with 421. Every path is restricted unless UNRESTRICTED_PATHS lists it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(UNRESTRICTED_PATHS) or _is_local(scope):
            await self.app(scope, receive, send)
        else:
            await Problem(421, HOST_REFUSED).response(scope, receive, send)


def _is_local(scope: Scope) -> bool:
    hosts = Headers(scope=scope).getlist("host")
    return len(hosts) == 1 and is_loopback(host_of(hosts[0]))
