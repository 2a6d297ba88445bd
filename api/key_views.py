"""Keys as responses show them, and refusals of changes as problems; used by the routes of keys and of tenants."""

from typing import Any
from uuid import UUID

from api.callers import Caller
from api.problems import Problem, at, conflict, invalid
from api.schemas.keys import CreatedKey, KeyBody, KeyStatus, KeyView, lifetime_of
from bootstrap import Parts
from domain.clock import now
from models.tenants import ApiKey
from storage import key_changes, tenants
from storage.key_changes import KeyRefused, NewKey, OperateRefused

SHOWN = [name for name in KeyView.model_fields if name != "status"]


def fields_of(row: ApiKey) -> dict[str, Any]:
    return {name: getattr(row, name) for name in SHOWN} | {"status": status_of(row)}


def key_view(row: ApiKey) -> KeyView:
    return KeyView.model_validate(fields_of(row))


def status_of(row: ApiKey) -> KeyStatus:
    if row.revoked_at is not None:
        return KeyStatus.REVOKED
    return KeyStatus.ACTIVE if key_changes.is_valid(row, now()) else KeyStatus.EXPIRED


async def create_key_of(parts: Parts, tenant: UUID, body: KeyBody, caller: Caller) -> CreatedKey:
    """Raises Problem if the tenant may not have such a key."""
    new = NewKey(name=body.name, scopes=body.scopes, env=parts.settings.env, lifetime=lifetime_of(body.expires_in))
    async with parts.database.transaction() as session:
        try:
            row, secret = await key_changes.create(session, await tenants.by_id(session, tenant), new, caller.actor)
        except KeyRefused as refused:
            raise problem_of_refusal(refused) from None
    parts.catalog.flush()
    return CreatedKey(**fields_of(row), key=secret)


def problem_of_refusal(refused: KeyRefused) -> Problem:
    if isinstance(refused, OperateRefused):
        return invalid(at("/scopes", str(refused)))
    return conflict(f"{str(refused)[:1].upper()}{str(refused)[1:]}.")
