"""Create the table of messages that recipients send to our phone numbers, and the function that finds their events."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel.sql.sqltypes import AutoString

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# As `event_messages_of` makes it.
EVENT_MESSAGE_ID = """
CREATE FUNCTION event_message_id(event_id uuid, endpoint_id uuid) RETURNS uuid LANGUAGE sql STABLE AS $$
SELECT CAST(left(encode(sha256(convert_to(concat(event_id, endpoint_id), 'UTF8')), 'hex'), 32) AS uuid)
$$
"""


def upgrade() -> None:
    op.execute(EVENT_MESSAGE_ID)
    op.create_table(
        "inbound_message",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("provider", AutoString(), nullable=False),
        sa.Column("provider_message_id", AutoString()),
        sa.Column("address_hash", AutoString(), nullable=False),
        sa.Column("from_number", AutoString(), nullable=False),
        sa.Column("to_number", AutoString(), nullable=False),
        sa.Column("text", AutoString(), nullable=False),
        sa.Column("keyword", AutoString()),
        sa.Column("recipient_ids", ARRAY(sa.Text), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answer_until", sa.DateTime(timezone=True)),
        sa.Column("answered_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.Index("inbound_message_of_tenant", "tenant", "id"),
        sa.Index("inbound_message_of_number", "tenant", "address_hash", "received_at"),
        sa.Index("inbound_message_of_recipient", "recipient_ids", postgresql_using="gin"),
        sa.Index("inbound_message_to_answer", "answer_until", postgresql_where=sa.text("answer_until IS NOT NULL")),
    )


def downgrade() -> None:
    op.drop_table("inbound_message")
    op.execute("DROP FUNCTION event_message_id")
