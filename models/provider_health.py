"""Define the circuit and the rate limits of each provider, which all processes share."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Column
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from models.columns import time_column


class ProviderHealth(SQLModel, table=True):
    """Store the circuit of one provider account, as `domain/circuits.py` computes it.

    `penalty` is the reduction of its weight, in points. `probe_at` is when an open circuit admits a few calls. The
    vendor accepts no calls until `throttled_until`. `lookup_refused_attempt_id` is the first attempt since the last
    successful lookup whose lookup the vendor refused; `lookup_refused_at` is when it last refused that of another
    attempt. `recent` holds `[second, calls, errors, slow]` of the last minute. `credential_failures` identify the
    recipients whose messages failed because of refused credentials.
    """

    __tablename__ = "provider_health"
    __table_args__ = (CheckConstraint("state IN ('closed', 'open', 'half_open')", name="state_known"),)

    provider: str = Field(primary_key=True)
    state: str = "closed"
    reason: str | None = None
    penalty: int = 0
    open_count: int = 0
    probes: int = 0
    changed_at: datetime = time_column(nullable=False)
    penalty_updated_at: datetime = time_column(nullable=False)
    probe_at: datetime | None = time_column()
    throttled_until: datetime | None = time_column()
    lookup_refused_attempt_id: UUID | None = None
    lookup_refused_at: datetime | None = time_column()
    recent: list[Any] = Field(default=[], sa_column=Column(JSONB(none_as_null=True), nullable=False))
    credential_failures: list[Any] = Field(default=[], sa_column=Column(JSONB(none_as_null=True), nullable=False))


class ProviderLimit(SQLModel, table=True):
    """Store the rate limits that an operator set in place of the settings: calls per second of all tenants, and of each
    tenant. 0 is no limit."""

    __tablename__ = "provider_limit"

    provider: str = Field(primary_key=True)
    rate: float | None = None
    tenant_rate: float | None = None
    updated_at: datetime = time_column(nullable=False)
