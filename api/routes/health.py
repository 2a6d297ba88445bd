"""At the root: is the process up, and can it accept notifications?"""

import asyncio

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.failures import RETRY_AFTER
from api.parts import PartsDep
from api.problems import Problem
from bootstrap import Parts
from storage.outages import DATABASE_ERRORS, ping

PATIENCE = 2.0

router = APIRouter(include_in_schema=False)


@router.get("/healthz")
async def healthz() -> JSONResponse:
    return JSONResponse({"status": "ok"})


@router.get("/readyz")
async def readyz(parts: PartsDep) -> JSONResponse:
    """Not ready only without Postgres; without Temporal notifications are accepted and wait."""
    try:
        async with asyncio.timeout(PATIENCE):
            await ping(parts.database)
    except DATABASE_ERRORS:
        raise Problem(503, "The database does not answer.", headers=RETRY_AFTER) from None
    degraded = [] if await temporal_ok(parts) else ["temporal"]
    return JSONResponse({"status": "ok", "degraded": degraded} if degraded else {"status": "ok"})


async def temporal_ok(parts: Parts) -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            return await parts.temporal_ok()
    except TimeoutError:
        return False
