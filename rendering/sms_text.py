"""Build the text of an SMS from its rendered template. Runs in the child only (`child`)."""

from domain.sms_segments import MAX_SEGMENTS, count_segments, is_gsm7
from rendering.messages import RenderedContent, RenderFailure

# Replacement → characters that GSM-7 lacks; docs/templates.md has the same table.
TYPOGRAPHY = {
    "'": "\u0060\u00b4\u2018\u2019\u201a\u201b\u2032\u2039\u203a",
    '"': "\u00ab\u00bb\u201c\u201d\u201e\u201f\u2033",
    "-": "\u2010\u2011\u2012\u2013\u2014\u2015\u2022\u2212",
    "...": "\u2026",
    " ": "\u0009\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000",
    "\n": "\u2028\u2029",
    "": "\u00ad\u200b\u2060\ufeff",
}
FOLDED_CHARACTERS = str.maketrans({each: folded for folded, found in TYPOGRAPHY.items() for each in found})


def build_sms(text: str, *, fold: bool) -> RenderedContent | RenderFailure:
    """Return the content, or a failure if the text needs too many segments."""
    text = fold_typography(text) if fold else text
    segments = count_segments(text).segments
    if segments > MAX_SEGMENTS:
        reason = f"needs {segments} SMS segments; at most {MAX_SEGMENTS} are sent"
        return RenderFailure(reason=reason, part="body", sms_segments=segments)
    return RenderedContent(content={"text": text})


def fold_typography(text: str) -> str:
    """Replace typographic characters if the text then is GSM-7. Otherwise it would lose them and stay as long."""
    folded = text.translate(FOLDED_CHARACTERS)
    return folded if is_gsm7(folded) else text
