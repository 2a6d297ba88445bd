"""Run two email vendors on this machine, SendGrid over HTTP and an SMTP server, for an engine's provider pool."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from testing.vendors.sendgrid import API_KEY, FakeSendGrid
from testing.vendors.smtp import SENDER, MailServer


@asynccontextmanager
async def run_vendors() -> AsyncIterator[tuple[FakeSendGrid, MailServer]]:
    async with FakeSendGrid().running() as sendgrid, MailServer(login=False).running() as mail_server:
        yield sendgrid, mail_server


def vendor_environment(sendgrid: FakeSendGrid, mail_server: MailServer) -> dict[str, str]:
    return {
        "TOCSIN_SENDGRID_API_KEY": API_KEY,
        "TOCSIN_SENDGRID_FROM": SENDER,
        "TOCSIN_SENDGRID_BASE_URL": sendgrid.url,
        "TOCSIN_SMTP_HOST": "127.0.0.1",
        "TOCSIN_SMTP_PORT": str(mail_server.port),
        "TOCSIN_SMTP_TLS": "none",
        "TOCSIN_SMTP_FROM": SENDER,
    }
