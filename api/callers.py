"""Who is calling: the API key of the `Authorization` header, as a tenant and its scopes."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from api.parts import parts_of
from api.problems import Problem

PUBLIC = "public"


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    tenant: UUID
    key_id: UUID
    scopes: frozenset[str]
    default_language: str


async def authenticate(request: Request) -> Caller:
    """401 unless there is exactly one `Authorization: Bearer <key>` and the key is known and not revoked."""
    headers = request.headers.getlist("authorization")
    scheme, _, key = (headers[0] if len(headers) == 1 else "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise _unauthenticated("Send the API key as 'Authorization: Bearer <key>'.")
    info = await parts_of(request).catalog.key(sha256(key.strip().encode()).hexdigest())
    if info is None:
        raise _unauthenticated("The API key is unknown or revoked.")
    return Caller(tenant=info.tenant, key_id=info.id, scopes=info.scopes, default_language=info.default_language)


def _unauthenticated(detail: str) -> Problem:
    return Problem(401, detail, headers={"WWW-Authenticate": "Bearer"})


async def caller_of(request: Request) -> Caller:
    """Set by the front door; absent only on public routes, which have no caller. `async`: no thread is needed."""
    caller: Caller = request.state.caller
    return caller


CallerDep = Annotated[Caller, Depends(caller_of)]
