"""Identify the caller by the API key of the `Authorization` header: its tenant and scopes."""

from hashlib import sha256

from fastapi import Request

from api.dependencies import container_of
from api.limits.source_limits import SourceLimit
from api.problems import Problem
from domain.audit import Caller
from domain.clock import now
from storage.api_keys import ApiKeyInfo

PUBLIC_SCOPE = "public"
SUSPENDED_PROBLEM = ("tenant-suspended", "The tenant is suspended")
SUSPENDED_DETAIL = (
    "The tenant of this API key is suspended. Its queued notifications wait until the operator resumes it."
)


async def authenticate(request: Request) -> Caller:
    """Return the caller. Raise 401 unless there is exactly one `Authorization: Bearer <key>` with a valid key, 403 if
    its tenant is suspended, and 429 if the address has sent too many unknown keys."""
    headers = request.headers.getlist("authorization")
    scheme, _, key = (headers[0] if len(headers) == 1 else "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise _unauthenticated("Send the API key as 'Authorization: Bearer <key>'.")
    info = await _find_key(request, sha256(key.strip().encode()).hexdigest())
    check_validity(info, dev=container_of(request).settings.is_dev)
    request.app.state.key_uses.record_use(info.id)
    return Caller(
        tenant=info.tenant,
        key_id=info.id,
        key_name=info.name,
        scopes=info.scopes,
        default_language=info.default_language,
        phone_regions=info.phone_regions,
        email_domains=info.email_domains,
    )


async def _find_key(request: Request, hash: str) -> ApiKeyInfo:
    """Return the key's data. A key that this process has seen as valid is never refused because of unknown keys from
    the same address. Every other key needs the lookup that the limit protects."""
    catalog = container_of(request).catalog
    unknown_keys: SourceLimit = request.app.state.rate_limits.unknown_keys
    if not catalog.was_valid(hash):
        unknown_keys.check(request)
    info = await catalog.key(hash)
    if info is None:
        await unknown_keys.count(request)
        raise _unauthenticated("The API key is unknown or revoked.")
    return info


def check_validity(info: ApiKeyInfo, *, dev: bool) -> None:
    """Raise 401 or 403 unless the key may be used now. The expiry is compared at each request, because `info` may be
    cached."""
    if info.expires_at is not None and info.expires_at <= now():
        raise _unauthenticated("The API key has expired.")
    if info.is_dev and not dev:
        raise _unauthenticated("The API key was created in development and is not valid here.")
    if info.is_suspended:
        raise Problem(403, SUSPENDED_DETAIL, problem_type=SUSPENDED_PROBLEM)


def _unauthenticated(detail: str) -> Problem:
    return Problem(401, detail, headers={"WWW-Authenticate": "Bearer"})
