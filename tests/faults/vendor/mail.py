"""The other e-mail provider: an SMTP server that keeps what it takes. It reports nothing and cannot be asked."""

from dataclasses import dataclass
from uuid import uuid4

from aiosmtpd.smtp import Envelope, Session

from tests.faults.vendor.ledger import Ledger
from tests.faults.vendor.moods import Mood
from tests.providers.mail_server import Line, MailServer


@dataclass(kw_only=True)
class MailVendor(MailServer):
    """Knows two moods: it listens, or it does not."""

    books: Ledger
    login: bool = False

    def connect(self) -> Line:
        line = self._line()
        assert isinstance(line, Line)
        return line

    async def handle_DATA(self, server: Line, session: Session, envelope: Envelope) -> str:
        self._keep(envelope)
        mail = self.ledger.pop().mail
        reference = str(mail["X-Tocsin-Attempt"])
        self.books.call("smtp", reference, Mood.OK)
        queued = uuid4().hex
        self.books.kept("smtp", reference, queued, envelope.rcpt_tos[0])
        return f"250 2.0.0 OK: queued as {queued}"
