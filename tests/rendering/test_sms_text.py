"""Test the limit of segments of an SMS."""

import pytest

from domain.sms_segments import MAX_SEGMENTS
from rendering.messages import RenderedContent, RenderFailure
from rendering.renderer import Renderer
from tests.rendering.sources import sms


@pytest.mark.parametrize(("character", "part"), [("a", 153), ("\u4f60", 67)])
async def test_a_text_over_the_limit_of_segments_is_refused(renderer: Renderer, character: str, part: int) -> None:
    most = character * part * MAX_SEGMENTS
    assert await renderer.render(sms(most), {}, "en") == RenderedContent(content={"text": most})
    assert await renderer.render(sms(most + character), {}, "en") == RenderFailure(
        reason="needs 11 SMS segments; at most 10 are sent", part="body", sms_segments=11
    )
