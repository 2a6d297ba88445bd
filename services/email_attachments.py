"""Check the attachments of sends, record their uses, and load their contents for a call. Used by acceptance and
`deliver`."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

from domain.attachments import MAX_SIZE
from domain.email_options import EmailAttachment
from domain.json_types import Json
from domain.outgoing_messages import OutgoingMessage
from domain.validation_issues import InvalidInput, ValidationIssue, issue_at
from metrics.engine import ReachedLimit, count_limit_reached
from providers.outcomes import ProviderRefusal, TemporaryError
from services.send_commands import SendCommand
from storage import attachments
from storage.acceptance import AcceptResult, NewNotification
from storage.attachments import StoredAttachment
from storage.connections import DATABASE_ERRORS
from storage.database import Database
from storage.statements import Executor

MISSING = "there is no such attachment; it may have been deleted"
TOO_LARGE = f"the attachments of an email may have at most {MAX_SIZE} bytes together"
# Messages with attachments that a process has in memory at a time. Each takes up to about five times its attachments.
SLOTS = 4
# Seconds; a call waits at most this long for a slot, less than the margin of its activity.
SLOT_TIMEOUT = 2.0
RETRY_AFTER = 5.0


def attachment_ids_of(options: Json | None) -> list[UUID]:
    return [UUID(id) for id in (options or {}).get("attachments", ())]


async def find_attachment_issues(
    database: Database, tenant: UUID, commands: Mapping[int, SendCommand]
) -> dict[int, list[ValidationIssue]]:
    """Return the issues of the sends that have attachments, by index."""
    ids = {
        index: attachment_ids_of(command.email_options)
        for index, command in commands.items()
        if command.email_options is not None
    }
    wanted = {id for each in ids.values() for id in each}
    if not wanted:
        return {}
    async with database.statement() as session:
        found = await attachments.find_attachments(session, tenant, wanted)
    return {index: _find_issues(given, found) for index, given in ids.items() if given}


def _find_issues(ids: Sequence[UUID], found: Mapping[UUID, StoredAttachment]) -> list[ValidationIssue]:
    missing = [issue_at(f"/email/attachments/{index}", MISSING) for index, id in enumerate(ids) if id not in found]
    if missing:
        return missing
    return [issue_at("/email/attachments", TOO_LARGE)] if sum(found[id].size for id in ids) > MAX_SIZE else []


async def record_attachment_uses(
    session: Executor, tenant: UUID, items: Sequence[NewNotification], rows: Mapping[UUID, AcceptResult]
) -> None:
    """Keep the attachments of inserted notifications. Raise InvalidInput if one was deleted since the check."""
    inserted = [item for item in items if item.email_options is not None and rows[item.id].created_at is not None]
    uses = {item.id: ids for item in inserted if (ids := attachment_ids_of(item.email_options))}
    if uses and await attachments.record_uses(session, tenant, uses):
        raise InvalidInput(issue_at("/email/attachments", MISSING))


class AttachmentLoader:
    """Load the contents of attachments for calls, for a few messages of this process at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._slots = asyncio.Semaphore(SLOTS)

    @asynccontextmanager
    async def loaded(self, message: OutgoingMessage, ids: Sequence[UUID]) -> AsyncIterator[OutgoingMessage]:
        """Yield the message with its attachments. Raise AttachmentsUnavailable instead of waiting long."""
        if not ids:
            yield message
            return
        await self._take_slot()
        try:
            yield await self._load(message, ids)
        finally:
            self._slots.release()

    async def _take_slot(self) -> None:
        try:
            async with asyncio.timeout(SLOT_TIMEOUT):
                await self._slots.acquire()
        except TimeoutError:
            count_limit_reached(ReachedLimit.ATTACHMENT_CALLS)
            raise AttachmentsUnavailable(TemporaryError("attachments_busy", retry_after=RETRY_AFTER)) from None

    async def _load(self, message: OutgoingMessage, ids: Sequence[UUID]) -> OutgoingMessage:
        try:
            async with self._database.statement() as session:
                stored = await attachments.find_attachments(session, message.tenant, ids)
                contents = {id: await attachments.read_content(session, message.tenant, id) for id in stored}
        except DATABASE_ERRORS as error:
            raise AttachmentsUnavailable(TemporaryError("attachments_not_loaded")) from error
        files = [_attachment(stored[id], content) for id in ids if (content := contents.get(id)) is not None]
        if len(files) < len(ids):
            raise AttachmentsUnavailable(ProviderRefusal(reason="attachment_deleted"))
        return replace(message, email=replace(message.email, attachments=tuple(files)))


class AttachmentsUnavailable(Exception):
    """Signal that the message cannot be sent without its attachments. `outcome` is that of the attempt."""

    def __init__(self, outcome: TemporaryError | ProviderRefusal) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


def _attachment(stored: StoredAttachment, content: bytes) -> EmailAttachment:
    return EmailAttachment(name=stored.name, content_type=stored.content_type, content=content)
