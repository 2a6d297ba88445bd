"""Test the text of an SMS: typographic characters, and the limit of segments."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.sms_segments import GSM7, MAX_SEGMENTS, is_gsm7
from rendering.messages import RenderedContent, RenderFailure
from rendering.process import ROOT
from rendering.renderer import Renderer
from rendering.sms_text import TYPOGRAPHY, fold_typography
from tests.rendering.sources import folded_sms, sms

TYPOGRAPHIC = "".join(TYPOGRAPHY.values())
FOLDABLE_TEXTS = st.text(st.sampled_from(sorted(GSM7) + list(TYPOGRAPHIC)))
DOCUMENTED_ROW = re.compile(r"^\| (`.+`|space|line break|nothing) \| .*: (U\+.+) \|$", re.MULTILINE)
DOCUMENTED_REPLACEMENTS = {"space": " ", "line break": "\n", "nothing": ""}


def test_typographic_characters_get_their_equivalents() -> None:
    text = "\u201cLet\u2019s go\u201d \u2013 he said\u2026\u00a0\u00ab5\u202f\u20ac\u00bb\u200b"
    assert fold_typography(text) == '"Let\'s go" - he said... "5 \u20ac"'


@pytest.mark.parametrize("other", ["\u4f60", "\U0001f600", "\u0107"])
def test_a_text_that_needs_ucs2_anyway_stays_unchanged(other: str) -> None:
    assert fold_typography(f"\u201cHi\u201d\u2026 {other}") == f"\u201cHi\u201d\u2026 {other}"


@given(FOLDABLE_TEXTS)
def test_a_text_with_typographic_characters_becomes_gsm7(text: str) -> None:
    folded = fold_typography(text)
    assert is_gsm7(folded)
    assert fold_typography(folded) == folded
    assert [each for each in folded if each in TYPOGRAPHIC] == []


@given(st.text(st.sampled_from(sorted(GSM7))))
def test_a_gsm7_text_stays_unchanged(text: str) -> None:
    assert fold_typography(text) == text


def test_the_page_of_templates_lists_every_replacement() -> None:
    page = (ROOT / "docs/templates.md").read_text()
    documented = {
        DOCUMENTED_REPLACEMENTS.get(replacement, replacement.strip("`")): code_points(codes)
        for replacement, codes in DOCUMENTED_ROW.findall(page)
    }
    assert documented == {replacement: set(map(ord, found)) for replacement, found in TYPOGRAPHY.items()}


def code_points(text: str) -> set[int]:
    """Return the code points of a list such as `U+0060, U+2000 to U+200A`."""
    found: set[int] = set()
    for item in text.split(", "):
        first, *last = (int(code, 16) for code in re.findall(r"U\+([0-9A-F]+)", item))
        found |= set(range(first, (last or [first])[0] + 1))
    return found


async def test_only_a_type_with_the_option_changes_the_text(renderer: Renderer) -> None:
    body = "{{ name }}\u2019s order\u2026"
    plain = await renderer.render(sms(body), {"name": "\u201cAda\u201d"}, "en")
    assert plain == RenderedContent(content={"text": "\u201cAda\u201d\u2019s order\u2026"})
    folded = await renderer.render(folded_sms(body), {"name": "\u201cAda\u201d"}, "en")
    assert folded == RenderedContent(content={"text": '"Ada"\'s order...'})


@pytest.mark.parametrize(("character", "part"), [("a", 153), ("\u4f60", 67)])
async def test_a_text_over_the_limit_of_segments_is_refused(renderer: Renderer, character: str, part: int) -> None:
    most = character * part * MAX_SEGMENTS
    assert await renderer.render(sms(most), {}, "en") == RenderedContent(content={"text": most})
    assert await renderer.render(sms(most + character), {}, "en") == RenderFailure(
        reason="needs 11 SMS segments; at most 10 are sent", part="body", sms_segments=11
    )


async def test_the_limit_counts_the_text_without_typographic_characters(renderer: Renderer) -> None:
    body = "a" * 1_000 + "\u2026"
    assert isinstance(await renderer.render(sms(body), {}, "en"), RenderFailure)
    assert await renderer.render(folded_sms(body), {}, "en") == RenderedContent(content={"text": "a" * 1_000 + "..."})
