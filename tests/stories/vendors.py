"""Run two email vendors on this machine, SendGrid over HTTP and an SMTP server, for an engine's provider pool."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiosmtpd.smtp import SMTP, Envelope, Session

from embedded.ports import free_port
from tests.providers.harness_http import Reply, read_request


@dataclass(frozen=True, kw_only=True)
class VendorCall:
    """Hold a call. `at` is in seconds, from `time.monotonic`."""

    at: float
    to: str
    status: int


class CountingSendGrid:
    """Respond with `status` and `headers` while `is_up`, and count messages.

    `received` and `accepted` count by Tocsin's reference, `calls` has every call in order.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.status = 202
        self.headers: dict[str, str] = {}
        self.calls: list[VendorCall] = []
        self.received: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        self._server: asyncio.Server | None = None

    @property
    def is_up(self) -> bool:
        return self._server is not None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        body = json.loads(request.body)
        reference = body["custom_args"]["tocsin_attempt_id"]
        to = body["personalizations"][0]["to"][0]["email"]
        self.calls.append(VendorCall(at=time.monotonic(), to=to, status=self.status))
        self.received[reference] += 1
        if self.status == 202:
            self.accepted[reference] += 1
        writer.write(Reply(status=self.status, headers={"x-message-id": reference} | self.headers).wire)
        await writer.drain()
        writer.close()


class CountingMailServer:
    def __init__(self) -> None:
        self.port = free_port()
        self.accepted: list[str] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.accepted += envelope.rcpt_tos
        return "250 OK"


@asynccontextmanager
async def run_vendors() -> AsyncIterator[tuple[CountingSendGrid, CountingMailServer]]:
    sendgrid, mail_server = CountingSendGrid(), CountingMailServer()
    await sendgrid.start()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(mail_server, hostname="localhost"), "127.0.0.1", mail_server.port)
    try:
        yield sendgrid, mail_server
    finally:
        await sendgrid.stop()
        server.close()


def vendor_environment(sendgrid: CountingSendGrid, mail_server: CountingMailServer) -> dict[str, str]:
    return {
        "TOCSIN_SENDGRID_API_KEY": "a key",
        "TOCSIN_SENDGRID_FROM": "shop@example.com",
        "TOCSIN_SENDGRID_BASE_URL": f"http://127.0.0.1:{sendgrid.port}",
        "TOCSIN_SMTP_HOST": "127.0.0.1",
        "TOCSIN_SMTP_PORT": str(mail_server.port),
        "TOCSIN_SMTP_TLS": "none",
        "TOCSIN_SMTP_FROM": "shop@example.com",
    }
