"""Serve a page of the shop on which a visitor subscribes to web push:

.venv/bin/python -m examples.shop.shop_site 9000

The visitor is always Mia; your own site knows from its session who the visitor is. The API key stays on the server: the
page registers a subscription here, and this server registers it in Tocsin.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from examples.shop.walkthrough import connect

PAGE = Path(__file__).resolve().parent / "page"
SCRIPTS = Path(__file__).resolve().parents[2] / "web"
FILES = {"/": PAGE / "index.html", "/shop.js": PAGE / "shop.js"}
FILES |= {f"/{name}": SCRIPTS / name for name in ("tocsin-sw.js", "tocsin-push.js")}
RECIPIENT = "mia"

tocsin = connect()


class ShopSite(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/push/settings":
            key = tocsin.get("/web-push-key").raise_for_status().json()
            self.respond(200, "application/json", json.dumps({**key, "recipient_id": RECIPIENT}).encode())
        elif path in FILES:
            content_type = "text/javascript" if path.endswith(".js") else "text/html"
            self.respond(200, content_type, FILES[path].read_bytes())
        else:
            self.respond(404)

    def do_POST(self) -> None:
        """Register or remove the visitor's browser. Only JSON is taken, which other sites cannot post."""
        is_json = self.headers["content-type"] == "application/json"
        if self.path != "/push/devices" or not is_json:
            self.respond(404)
            return
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        try:
            register(str(body["device"]), body["subscription"])
        except httpx2.HTTPStatusError as error:
            self.respond(error.response.status_code)
            return
        self.respond(204)

    def respond(self, status: int, content_type: str = "text/plain", body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{content_type}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Print only what is registered."""


def register(device: str, subscription: dict[str, Any] | None) -> None:
    path = f"/recipients/{RECIPIENT}/devices/{quote(device, safe='')}"
    if subscription is None:
        response = tocsin.delete(path)
    else:
        response = tocsin.put(path, json={"kind": "web_push", "subscription": subscription})
    if response.status_code != 404:
        response.raise_for_status()
    print(f"{RECIPIENT}: {device} {'registered' if subscription else 'removed'}", flush=True)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), ShopSite)
    print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
