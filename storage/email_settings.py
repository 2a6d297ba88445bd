"""Read the email options of a send and of its tenant from the row of a claimed attempt."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from domain.email_options import Mailbox, mailbox_of
from domain.json_types import Json
from storage.statements import decoded


@dataclass(frozen=True, kw_only=True, slots=True)
class EmailSettings:
    """`given` is `{reply_to, cc, bcc, headers, attachments}` of the send. The other members are the tenant's: `domains`
    are those that its addresses may have."""

    given: Json = field(repr=False)
    domains: frozenset[str]
    sender: Mailbox | None
    reply_to: Mailbox | None


def email_settings_of(row: Mapping[str, Any]) -> EmailSettings:
    return EmailSettings(
        given=decoded(row["email_options"]) or {},
        domains=frozenset(row["email_domains"]),
        sender=mailbox_of(decoded(row["email_sender"])),
        reply_to=mailbox_of(decoded(row["email_reply_to"])),
    )
