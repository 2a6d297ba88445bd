"""Store an uploaded file while it arrives. Called by the route of attachments."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID, uuid4

from domain.attachments import find_content_problem
from domain.validation_issues import InvalidInput
from storage import attachments
from storage.attachments import ReceivedContent, StoredAttachment
from storage.database import Database

# A slow client sends at least one chunk in the time that it has for the whole body.
IDLE_MARGIN = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class AttachmentUploads:
    """`body_timeout`: seconds that a client has for a body. `max_bytes`: what a tenant may store; 0 is no limit."""

    database: Database
    body_timeout: float
    max_bytes: int

    async def store(
        self, tenant: UUID, name: str, content_type: str, chunks: AsyncIterator[bytes]
    ) -> tuple[StoredAttachment, bool]:
        """Store the chunks of a body as they come, and the file at the end. Return it, and whether it is new.

        Nothing is kept if the body ends with an exception. Raise InvalidInput for an empty content or one that is not
        of its type, and TooManyBytesStored."""
        first = await anext(chunks, b"")
        if problem := find_content_problem(name, content_type, first) if first else "the body must not be empty":
            raise InvalidInput({"pointer": "", "detail": problem})
        upload, digest, size = f"upload {uuid4()}", hashlib.sha256(), 0
        async with self.database.transaction() as session:
            await attachments.allow_idling(session, self.body_timeout + IDLE_MARGIN)
            position, chunk = 0, first
            while chunk:
                digest.update(chunk)
                size += len(chunk)
                await attachments.add_chunk(session, tenant, upload, position, chunk)
                position, chunk = position + 1, await anext(chunks, b"")
            content = ReceivedContent(upload=upload, sha256=digest.hexdigest(), size=size)
            return await attachments.save(session, tenant, name, content_type, content, self.max_bytes)
