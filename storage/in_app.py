"""Writes inbox rows for the in-app channel; for a person who was just erased, none."""

from sqlalchemy import text

from domain.outgoing_messages import OutgoingMessage
from storage.database import Database, to_json

INSERT_MESSAGE = text("""
INSERT INTO inbox_message (id, tenant, recipient_id, notification_id, content, created_at)
SELECT :id, tenant, recipient_id, :notification_id, CAST(:content AS jsonb), now() FROM recipient
 WHERE tenant = :tenant AND recipient_id = :recipient_id FOR KEY SHARE
ON CONFLICT (id) DO NOTHING
""")


class InboxStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, message: OutgoingMessage) -> None:
        values = {
            "id": message.delivery_id,
            "tenant": message.tenant,
            "recipient_id": message.recipient_id,
            "notification_id": message.notification_id,
            "content": to_json(message.content),
        }
        async with self._database.transaction() as session:
            await session.execute(INSERT_MESSAGE, values)
