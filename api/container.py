"""What routes need of the built application; `bootstrap` builds it and `create_app` puts it into the app's state."""

from typing import Annotated

from fastapi import Depends, Request

from bootstrap import Container


def container_of(request: Request) -> Container:
    container: Container = request.app.state.container
    return container


async def _get_container(request: Request) -> Container:
    """Asynchronous, because FastAPI runs any other dependency in a thread, which costs more than the rest of it."""
    return container_of(request)


ContainerDep = Annotated[Container, Depends(_get_container)]
