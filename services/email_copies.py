"""Omit suppressed addresses from the copies of an email. Used by `deliver`."""

from dataclasses import replace

from domain.channels import Channel
from domain.email_options import unicode_address
from domain.outgoing_messages import OutgoingMessage
from providers.outcomes import TemporaryError
from storage import suppressions
from storage.connections import DATABASE_ERRORS
from storage.database import Database


class CopyFilter:
    """Read the suppression list before a call: the claim of the attempt checks only the recipient's address."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def without_suppressed(self, message: OutgoingMessage) -> OutgoingMessage:
        """Return the message to send. Raise TemporaryError if the list cannot be read: nothing was sent."""
        if not message.email.has_copies:
            return message
        email = message.email
        hashes = {
            address: self._database.encryption.address_hash(message.tenant, "email", unicode_address(address))
            for address in (*email.cc, *email.bcc)
        }
        try:
            async with self._database.statement() as session:
                found = await suppressions.find_suppressed(session, message.tenant, Channel.EMAIL, hashes.values())
        except DATABASE_ERRORS as error:
            raise TemporaryError("copies_not_checked") from error
        cc, bcc = (tuple(each for each in group if hashes[each] not in found) for group in (email.cc, email.bcc))
        return replace(message, email=replace(email, cc=cc, bcc=bcc))
