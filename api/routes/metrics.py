"""Prometheus metrics at the root. They need no key, so they are available only to direct requests."""

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse

from api.container import ContainerDep
from api.problems import Problem
from metrics.page import CONTENT_TYPE

# Header fields that a proxy adds.
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
async def metrics(request: Request, container: ContainerDep) -> PlainTextResponse:
    """Respond with 404 to a request that came through a proxy, as the edge proxy does."""
    if any(name in request.headers for name in FORWARDED):
        raise Problem(404, "There is no such page.")
    return PlainTextResponse(await container.page.text(), media_type=CONTENT_TYPE)
