"""Define the options of an email: sender, reply address, copies, headers and attachments."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from domain.json_types import Json

# The value of `unsubscribe_url` in templates and in stored content. `deliver` replaces it with the recipient's link.
UNSUBSCRIBE_PLACEHOLDER = "https://unsubscribe.invalid/"
# Headers of a send. A caller's own headers begin with `X-`.
HEADER_LIMIT = 20
ALLOWED_HEADERS = frozenset(
    {
        *("comments", "importance", "in-reply-to", "keywords", "list-help", "list-id", "list-post", "organization"),
        *("precedence", "priority", "references", "sensitivity", "thread-index", "thread-topic"),
    }
)
# Vendors read their own options from some headers, and Tocsin writes its own.
RESERVED_PREFIXES = ("x-tocsin", "x-smtpapi", "x-sg-", "x-mailgun-", "x-ses-", "x-amz", "x-mc-", "x-pm-", "x-mj-")


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


def is_header_allowed(name: str) -> bool:
    """Return whether a send may set this header."""
    lowered = name.lower()
    return lowered in ALLOWED_HEADERS or (lowered.startswith("x-") and not lowered.startswith(RESERVED_PREFIXES))


def mailbox_of(stored: Json | None) -> Mailbox | None:
    """Build a mailbox from its stored JSON, which the API has validated."""
    return None if stored is None else Mailbox(**stored)


def unicode_address(email: str) -> str:
    """Return the form of an ASCII address that profiles and the suppression list have."""
    local, _, domain = email.rpartition("@")
    labels = (
        label[4:].encode().decode("punycode") if label.startswith("xn--") else label for label in domain.split(".")
    )
    return f"{local}@{'.'.join(labels)}"


def is_in_domains(email: str, domains: Collection[str]) -> bool:
    """Return whether the domain of the address is one of these. A subdomain is another domain."""
    return email.rpartition("@")[2].lower() in domains
