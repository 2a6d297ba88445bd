"""What routes need of the built application; `bootstrap` builds it and `create_app` puts it into the app's state."""

from typing import Annotated

from fastapi import Depends, Request

from bootstrap import Parts


def parts_of(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


async def _given_parts(request: Request) -> Parts:
    """Asynchronous, because FastAPI runs any other dependency in a thread, which costs more than the rest of it."""
    return parts_of(request)


PartsDep = Annotated[Parts, Depends(_given_parts)]
