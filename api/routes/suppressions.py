"""Routes of the suppression list. Receipts of providers add entries to it automatically."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.paging import Page, PagingDep
from api.problems import invalid, not_found
from api.schemas.suppressions import ReasonName, SuppressionBody, SuppressionView, parse_address
from domain.channels import Channel
from domain.clock import now
from domain.durations import parse_duration
from domain.suppressions import CONTACT_BY_CHANNEL
from storage import audit, suppressions
from storage.encryption import Encryption
from storage.suppressions import NewSuppression, SuppressionEntry, SuppressionFilter

router = APIRouter(route_class=AuthenticatedRoute, prefix="/suppressions", tags=["suppressions"])

UNKNOWN = "There is no such suppression."
API_SOURCE = "api"


@router.get("")
@scope("read")
async def list_suppressions(
    caller: CallerDep,
    container: ContainerDep,
    paging: PagingDep,
    channel: Channel | None = None,
    reason: ReasonName | None = None,
    address: Annotated[str | None, Query(max_length=320, examples=["ada@example.com"])] = None,
    ended: Annotated[bool, Query(description="List lifted and expired suppressions instead.")] = False,
) -> Page[SuppressionView]:
    """List suppressions in force, newest first; with `ended=true`, lifted and expired ones instead."""
    keys = None if address is None else _address_keys(container.database.encryption, caller.tenant, address)
    wanted = SuppressionFilter(channel=channel, reason=reason, keys=keys, ended=ended)
    async with container.database.transaction() as session:
        rows = await suppressions.list_page(
            session, caller.tenant, wanted, before=paging.after_id, limit=paging.fetch_limit
        )
    return paging.page(rows, lambda row: row.id, _view)


@router.post(
    "",
    status_code=201,
    responses={200: {"model": SuppressionView, "description": "One that lasts at least as long is already in force"}},
)
@scope("manage")
async def add_suppression(
    body: SuppressionBody, caller: CallerDep, container: ContainerDep, response: Response
) -> SuppressionView:
    """Suppress an address for all recipients that have it. An entry weaker than the one in force changes nothing."""
    contact = CONTACT_BY_CHANNEL[body.channel]
    new = NewSuppression(
        channel=body.channel,
        address_hash=container.database.encryption.address_hash(caller.tenant, contact, body.address),
        address={contact: body.address},
        reason=body.reason,
        source=API_SOURCE,
        expires_at=now() + parse_duration(body.expires_in) if body.expires_in else None,
    )
    async with container.database.transaction() as session:
        in_force, changed = await suppressions.add(session, caller.tenant, new)
        if changed:
            await audit.record_change(
                session, caller.change("suppression.added", _subject(in_force), None, _audited_values(in_force))
            )
    response.status_code = 201 if changed else 200
    response.headers["Location"] = f"/api/v1/suppressions/{in_force.id}"
    return _view(in_force)


@router.get("/{id}")
@scope("read")
async def get_suppression(id: UUID, caller: CallerDep, container: ContainerDep) -> SuppressionView:
    """Return one suppression, also if it was lifted."""
    async with container.database.transaction() as session:
        found = await suppressions.find(session, caller.tenant, id)
    if found is None:
        raise not_found(UNKNOWN)
    return _view(found)


@router.delete("/{id}", status_code=204)
@scope("manage")
async def lift_suppression(id: UUID, caller: CallerDep, container: ContainerDep) -> None:
    """Lift a suppression. The address is used again until the next bounce, complaint or opt-out."""
    async with container.database.transaction() as session:
        found = await suppressions.find(session, caller.tenant, id)
        if found is None or not await suppressions.lift(session, caller.tenant, id):
            raise not_found("There is no such suppression in force.")
        await audit.record_change(session, caller.change("suppression.lifted", _subject(found), _audited_values(found)))


def _address_keys(encryption: Encryption, tenant: UUID, address: str) -> list[str]:
    """Return the hashes of the address for each channel that accepts it. A `+` that is not encoded as `%2B` arrives as
    a space, and is refused."""
    keys = []
    for channel, contact in CONTACT_BY_CHANNEL.items():
        try:
            keys.append(encryption.address_hash(tenant, contact, parse_address(channel, address)))
        except ValueError:
            continue
    if not keys:
        raise invalid({"parameter": "address", "detail": "must be an email address or a phone number in E.164"})
    return keys


def _subject(row: SuppressionEntry) -> str:
    return f"suppression/{row.id}"


def _audited_values(row: SuppressionEntry) -> dict[str, Any]:
    names = ("channel", "address", "reason", "source", "expires_at")
    return {name: getattr(row, name) for name in names}


def _view(row: SuppressionEntry) -> SuppressionView:
    return SuppressionView(**{name: getattr(row, name) for name in row.__slots__})
