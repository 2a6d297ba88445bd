from collections.abc import AsyncIterator

import pytest

from rendering.renderer import Renderer


@pytest.fixture(scope="session")
async def renderer() -> AsyncIterator[Renderer]:
    async with Renderer() as renderer:
        yield renderer
