"""Give routes the container that `bootstrap` opened and `create_app` stored in the state of the application."""

from typing import Annotated

from fastapi import Depends, Request

from bootstrap import Container


def container_of(request: Request) -> Container:
    container: Container = request.app.state.container
    return container


async def _get_container(request: Request) -> Container:
    """Return the container. Asynchronous, because FastAPI runs other dependencies in a thread, which costs more than
    the call."""
    return container_of(request)


ContainerDep = Annotated[Container, Depends(_get_container)]
