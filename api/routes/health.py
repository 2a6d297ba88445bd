"""Probes and metrics at the root: `/healthz` reports that the process runs, `/readyz` that it can accept notifications.
`/metrics` needs no key, so it is available only to direct requests."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse

from api.dependencies import ContainerDep
from api.error_handlers import RETRY_AFTER
from api.problems import Problem
from bootstrap import Container
from metrics.page import CONTENT_TYPE
from storage.connections import DATABASE_ERRORS
from storage.engine_state import StoreReport, read_hold, read_report

CHECK_TIMEOUT = 2.0
# Header fields that a proxy adds.
FORWARDED_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip")

router = APIRouter(include_in_schema=False)


@router.get("/healthz")
async def healthz() -> JSONResponse:
    return JSONResponse({"status": "ok"})


@router.get("/readyz")
async def readyz(container: ContainerDep) -> JSONResponse:
    """Report 503 only without Postgres. Without Temporal, notifications are accepted and wait. With a store other than
    the adopted one, new notifications are started and open ones wait. `held`: everything waits for an operator."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            async with container.database.transaction() as session:
                store, hold = await read_report(session), await read_hold(session)
    except DATABASE_ERRORS:
        raise Problem(503, "The database is unavailable.", headers=RETRY_AFTER) from None
    degraded = [] if await is_temporal_available(container) else ["temporal"]
    body_fields = {} if store is None else store_details(store)
    if "other_temporal_store" in body_fields:
        degraded.append("temporal_store")
    if hold is not None and hold.in_force:
        degraded.append("held")
        body_fields["hold"] = {"name": hold.name, "since": hold.since.isoformat()}
    return JSONResponse({"status": "ok"} | ({"degraded": degraded} if degraded else {}) | body_fields)


@router.get("/metrics")
async def metrics(request: Request, container: ContainerDep) -> PlainTextResponse:
    """Respond with 404 to a request that came through a proxy, as the edge proxy does."""
    if any(name in request.headers for name in FORWARDED_HEADERS):
        raise Problem(404, "There is no such page.")
    return PlainTextResponse(await container.page.text(), media_type=CONTENT_TYPE)


def store_details(store: StoreReport) -> dict[str, Any]:
    """Return what an operator must know of a lost store or a wrong address, and of its recovery."""
    known, recovery, details = store.known, store.recovery, dict[str, Any]()
    if known.other_id is not None and known.other_since is not None:
        details["other_temporal_store"] = {"id": known.other_id, "since": known.other_since.isoformat()}
    if recovery is not None and recovery.finished_at is None:
        progress = {"done": recovery.done, "left": recovery.left}
        details["recovery"] = {"since": recovery.since.isoformat(), **progress}
    return details


async def is_temporal_available(container: Container) -> bool:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            return await container.is_temporal_available()
    except TimeoutError:
        return False
