"""Routes of the API keys of the caller's tenant."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.key_views import issue_key, key_fields_of, key_view, problem_of_refusal
from api.openapi import problem_responses
from api.paging import Page, PagingDep
from api.problems import Problem, invalid, not_found
from api.schemas.base import Id
from api.schemas.keys import CreatedKey, KeyBody, KeyView, RotateBody, RotatedKey, parse_optional_duration
from domain.audit import Caller
from domain.validation_issues import issue_at
from models.tenants import ApiKey
from storage import api_keys
from storage.api_keys import KeyChangeNotAllowed

router = APIRouter(route_class=AuthenticatedRoute, prefix="/keys", tags=["keys"])

UNKNOWN = "There is no such key."


@router.get("")
@scope("manage")
async def list_keys(
    caller: CallerDep,
    container: ContainerDep,
    paging: PagingDep,
    ended: Annotated[bool, Query(description="List revoked and expired keys instead.")] = False,
) -> Page[KeyView]:
    """List valid keys, newest first; with `ended=true`, revoked and expired ones. Keys are not shown."""
    async with container.database.transaction() as session:
        rows = await api_keys.list_page(
            session, caller.tenant, ended=ended, before=paging.after_id, limit=paging.fetch_limit
        )
    return paging.page(rows, lambda row: row.id, key_view)


@router.post("", status_code=201, responses=problem_responses(409))
@scope("manage")
async def create_key(body: KeyBody, caller: CallerDep, container: ContainerDep, response: Response) -> CreatedKey:
    """Create a key. Only this response shows it, because Tocsin stores its hash."""
    missing_scopes = [index for index, name in enumerate(body.scopes) if name not in caller.scopes]
    if missing_scopes:
        raise invalid(
            *(issue_at(f"/scopes/{index}", "is a scope that the calling key does not have") for index in missing_scopes)
        )
    created = await issue_key(container, caller.tenant, body, caller)
    _mark_secret(response, created.id)
    return created


@router.get("/{id}")
@scope("manage")
async def get_key(id: Id, caller: CallerDep, container: ContainerDep) -> KeyView:
    """Return one key, also if it was revoked or has expired. The key itself is not shown."""
    async with container.database.transaction() as session:
        return key_view(await _get_key(session, caller, id))


@router.delete("/{id}", status_code=204)
@scope("manage")
async def revoke_key(id: Id, caller: CallerDep, container: ContainerDep) -> None:
    """Revoke a key. Every process refuses it within 5 seconds. Idempotent."""
    async with container.database.transaction() as session:
        await api_keys.revoke_key(session, await _get_key(session, caller, id), caller.actor)
    container.catalog.flush()


@router.post("/{id}/rotate", status_code=201, responses=problem_responses(409))
@scope("manage")
async def rotate_key(
    id: Id, caller: CallerDep, container: ContainerDep, response: Response, body: RotateBody | None = None
) -> RotatedKey:
    """Create a key with the same name and scopes. The former key stays valid for `overlap`, by default a day."""
    wanted = body or RotateBody()
    overlap, expires_in = parse_optional_duration(wanted.overlap), parse_optional_duration(wanted.expires_in)
    async with container.database.transaction() as session:
        former = await _get_key(session, caller, id)
        if not set(former.scopes) <= caller.scopes:
            raise Problem(403, "The key has a scope that the calling key does not have.")
        try:
            row, secret = await api_keys.rotate_key(
                session, former, overlap, container.settings.env, caller.actor, expires_in
            )
        except KeyChangeNotAllowed as refused:
            raise problem_of_refusal(refused) from None
    container.catalog.flush()
    _mark_secret(response, row.id)
    return RotatedKey.model_validate({**key_fields_of(row), "key": secret, "previous_expires_at": former.expires_at})


async def _get_key(session: AsyncSession, caller: Caller, id: UUID) -> ApiKey:
    row = await api_keys.find_by_id(session, caller.tenant, id)
    if row is None:
        raise not_found(UNKNOWN)
    return row


def _mark_secret(response: Response, id: UUID) -> None:
    response.headers["Location"] = f"/api/v1/keys/{id}"
    response.headers["Cache-Control"] = "no-store"
