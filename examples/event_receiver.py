"""Receive event webhooks and print the verified ones: python examples/event_receiver.py 9000 whsec_…

It needs no part of Tocsin: only the standard library, and standardwebhooks to verify.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

PORT, SECRET = int(sys.argv[1]), sys.argv[2]
seen: set[str] = set()


class EventHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            event = Webhook(SECRET).verify(body, dict(self.headers))
        except WebhookVerificationError:
            self.respond(401)
            return
        # An event can arrive twice: after a lost response, and by a replay.
        if self.headers["webhook-id"] not in seen:
            seen.add(self.headers["webhook-id"])
            print(event["type"], json.dumps(event["data"]), flush=True)
        self.respond(204)

    def respond(self, status: int) -> None:
        self.send_response(status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Print events, not requests."""


server = ThreadingHTTPServer(("127.0.0.1", PORT), EventHandler)
print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
server.serve_forever()
