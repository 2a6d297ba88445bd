"""Define the kinds of columns that tables share: JSONB, times with a time zone, and ids."""

from typing import Any
from uuid import UUID

from sqlalchemy import Column, DateTime
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field
from uuid_utils.compat import uuid7

from domain.clock import now


def new_id() -> UUID:
    """Return a UUIDv7. These ids sort by time, so that lists and indexes need no second column. Not for workflows."""
    return uuid7()


def json_column(*, nullable: bool = False) -> Any:
    return Field(default=None if nullable else {}, sa_column=Column(JSONB(none_as_null=True), nullable=nullable))


def time_column(*, nullable: bool = True, index: bool = False) -> Any:
    column: Column[Any] = Column(DateTime(timezone=True), nullable=nullable, index=index)
    return Field(default=None, sa_column=column) if nullable else Field(default_factory=now, sa_column=column)
