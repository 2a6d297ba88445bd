"""At the root: what Prometheus reads. Only from inside: it needs no key."""

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse

from api.container import ContainerDep
from api.problems import Problem
from metrics.page import CONTENT_TYPE

# What a proxy adds to a request that comes from outside.
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
async def metrics(request: Request, container: ContainerDep) -> PlainTextResponse:
    """Answer 404 to what came through a proxy, as the one at the edge does."""
    if any(name in request.headers for name in FORWARDED):
        raise Problem(404, "There is no such page.")
    return PlainTextResponse(await container.page.text(), media_type=CONTENT_TYPE)
