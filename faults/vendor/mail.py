"""Serve the other email provider: an SMTP server that stores messages. It has no receipts and no lookup."""

from dataclasses import dataclass
from uuid import uuid4

from aiosmtpd.smtp import Envelope, Session

from faults.vendor.modes import FaultyVendorMode
from faults.vendor.vendor_log import VendorLog
from tests.providers.mail_server import MailServer, SmtpConnection


@dataclass(kw_only=True)
class FaultyMailServer(MailServer):
    """Support two modes: it listens, or it does not."""

    vendor_log: VendorLog
    login: bool = False

    def connect(self) -> SmtpConnection:
        line = self._line()
        assert isinstance(line, SmtpConnection)
        return line

    async def handle_DATA(self, server: SmtpConnection, session: Session, envelope: Envelope) -> str:
        self._keep(envelope)
        mail = self.ledger.pop().mail
        reference = str(mail["X-Tocsin-Attempt"])
        self.vendor_log.call("smtp", reference, FaultyVendorMode.OK)
        queued = uuid4().hex
        self.vendor_log.kept("smtp", reference, queued, envelope.rcpt_tos[0])
        return f"250 2.0.0 OK: queued as {queued}"
