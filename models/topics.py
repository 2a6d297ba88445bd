"""Define the subscribers of topics."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index
from sqlmodel import Field, SQLModel

from models.columns import time_column


class TopicSubscriber(SQLModel, table=True):
    __tablename__ = "topic_subscriber"
    __table_args__ = (
        Index("topic_subscriber_of_recipient", "tenant", "recipient_id"),
        ForeignKeyConstraint(
            ["tenant", "recipient_id"], ["recipient.tenant", "recipient.recipient_id"], ondelete="CASCADE"
        ),
    )

    tenant: UUID = Field(primary_key=True)
    topic: str = Field(primary_key=True)
    recipient_id: str = Field(primary_key=True)
    created_at: datetime = time_column(nullable=False)
