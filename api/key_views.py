"""Convert key rows to responses, and refused key changes to problems. Used by the routes of keys and tenants."""

from typing import Any
from uuid import UUID

from api.problems import Problem, conflict, invalid
from api.schemas.keys import CreatedKey, KeyBody, KeyStatus, KeyView, parse_optional_duration
from bootstrap import Container
from domain.audit import Caller
from domain.clock import now
from domain.validation_issues import issue_at
from models.tenants import ApiKey
from storage import api_keys, tenants
from storage.api_keys import KeyChangeNotAllowed, NewKey, OperateScopeNotAllowed

VIEW_FIELDS = [name for name in KeyView.model_fields if name != "status"]


def key_fields_of(row: ApiKey) -> dict[str, Any]:
    return {name: getattr(row, name) for name in VIEW_FIELDS} | {"status": key_status_of(row)}


def key_view(row: ApiKey) -> KeyView:
    return KeyView.model_validate(key_fields_of(row))


def key_status_of(row: ApiKey) -> KeyStatus:
    if row.revoked_at is not None:
        return KeyStatus.REVOKED
    return KeyStatus.ACTIVE if api_keys.is_valid(row, now()) else KeyStatus.EXPIRED


async def issue_key(container: Container, tenant: UUID, body: KeyBody, caller: Caller) -> CreatedKey:
    """Create a key. Raise Problem if the tenant may not have such a key."""
    new = NewKey(
        name=body.name,
        scopes=body.scopes,
        env=container.settings.env,
        expires_in=parse_optional_duration(body.expires_in),
    )
    async with container.database.transaction() as session:
        try:
            row, secret = await api_keys.create_key(
                session, await tenants.find_by_id(session, tenant), new, caller.actor
            )
        except KeyChangeNotAllowed as refused:
            raise problem_of_refusal(refused) from None
    container.catalog.flush()
    return CreatedKey(**key_fields_of(row), key=secret)


def problem_of_refusal(refused: KeyChangeNotAllowed) -> Problem:
    if isinstance(refused, OperateScopeNotAllowed):
        return invalid(issue_at("/scopes", str(refused)))
    return conflict(f"{str(refused)[:1].upper()}{str(refused)[1:]}.")
