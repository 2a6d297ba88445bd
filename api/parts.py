"""What routes need of the built application; `bootstrap` builds it and `create_app` puts it into the app's state."""

from typing import Annotated

from fastapi import Depends, Request

from bootstrap import Parts


def parts_of(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


PartsDep = Annotated[Parts, Depends(parts_of)]
