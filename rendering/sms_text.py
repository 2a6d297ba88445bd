"""Build the text of an SMS from its rendered template. Runs in the child only (`child`)."""

from domain.sms_segments import MAX_SEGMENTS, count_segments
from rendering.messages import RenderedContent, RenderFailure


def build_sms(text: str) -> RenderedContent | RenderFailure:
    """Return the content, or a failure if the text needs too many segments."""
    segments = count_segments(text).segments
    if segments > MAX_SEGMENTS:
        reason = f"needs {segments} SMS segments; at most {MAX_SEGMENTS} are sent"
        return RenderFailure(reason=reason, part="body", sms_segments=segments)
    return RenderedContent(content={"text": text})
