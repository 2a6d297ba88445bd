"""Define what an email has beside its recipient and its rendered content: sender, copies, headers and attachments."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Mailbox:
    """Hold an ASCII address and the name that mail programs show for it."""

    email: str
    name: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class EmailAttachment:
    name: str
    content_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class EmailOptions:
    """Hold the options. `sender` None is the provider's own. `cc` and `bcc` are ASCII addresses, without repetitions
    and without the recipient's. `headers` have allowed names and printable ASCII values. `unsubscribe_url` accepts
    one-click unsubscriptions (RFC 8058)."""

    sender: Mailbox | None = None
    reply_to: Mailbox | None = None
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    attachments: tuple[EmailAttachment, ...] = ()
    unsubscribe_url: str | None = field(default=None, repr=False)

    @property
    def has_copies(self) -> bool:
        return bool(self.cc or self.bcc)


NO_EMAIL_OPTIONS = EmailOptions()
