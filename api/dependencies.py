"""Give routes the container of the application, and the caller."""

from typing import Annotated

from fastapi import Depends, Request

from bootstrap import Container
from domain.audit import Caller


def container_of(request: Request) -> Container:
    container: Container = request.app.state.container
    return container


async def _get_container(request: Request) -> Container:
    """Return the container. Asynchronous, because FastAPI runs other dependencies in a thread, which costs more than
    the call."""
    return container_of(request)


async def _get_caller(request: Request) -> Caller:
    """Return the caller that AuthenticatedRoute stored. Public routes have none."""
    caller: Caller = request.state.caller
    return caller


ContainerDep = Annotated[Container, Depends(_get_container)]
CallerDep = Annotated[Caller, Depends(_get_caller)]
