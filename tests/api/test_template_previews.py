"""Test previews of templates: the shown content, version and language, and the reason of a failure."""

from typing import Any

import httpx2
import pytest

from tests.api.shipped_templates import find_issues, save

pytestmark = pytest.mark.postgres


async def test_a_preview_shows_the_sent_content(api: httpx2.AsyncClient) -> None:
    await save(api)
    response = await api.post("/templates/shipped/preview", json={"channel": "email", "payload": {"name": "A & B"}})
    assert response.status_code == 200
    shown = response.json()
    assert (shown["version"], shown["language"]) == (1, "en")
    assert shown["content"] == {
        "subject": "Hello A & B", "html": "<p>A &amp; B &amp; co</p>", "text": shown["content"]["text"]
    }  # fmt: skip
    assert "A & B & co" in shown["content"]["text"]
    assert shown["sms"] is None


async def test_a_preview_can_show_a_version_that_is_not_published(api: httpx2.AsyncClient) -> None:
    await save(api, body_template="draft for {{ recipient.attributes.plan }}", publish=False)
    body = {"channel": "email", "payload": {"name": "A"}, "recipient": {"attributes": {"plan": "gold"}}}
    assert "/channel" in await find_issues(api, "/templates/shipped/preview", body)
    shown = (await api.post("/templates/shipped/preview", json=body | {"version": 1})).json()
    assert shown["content"]["html"] == "draft for gold"


async def test_a_preview_follows_the_language_of_the_recipient(api: httpx2.AsyncClient) -> None:
    await save(api)
    await save(api, language="fr", body_template="Bonjour")
    body = {"channel": "email", "payload": {"name": "A"}}
    for extra, language in (({}, "en"), ({"recipient": {"locale": "fr-BE"}}, "fr"), ({"language": "fr_CA"}, "fr")):
        shown = (await api.post("/templates/shipped/preview", json=body | extra)).json()
        assert shown["language"] == language


async def test_a_preview_of_an_sms_shows_its_segments(api: httpx2.AsyncClient) -> None:
    await save(api, channel="sms", subject_template=None, body_template="\u201c{{ name }}\u201d" + "a" * 100)
    body: dict[str, Any] = {"channel": "sms", "payload": {"name": "A"}}
    for extra, name, segments in (
        ({}, "\u201cA\u201d", {"encoding": "ucs2", "segments": 2}),
        ({"sms": {"fold_typography": True}}, '"A"', {"encoding": "gsm7", "segments": 1}),
    ):
        shown = (await api.post("/templates/shipped/preview", json=body | extra)).json()
        assert (shown["content"], shown["sms"]) == ({"text": name + "a" * 100}, segments)


async def test_a_preview_of_a_too_long_sms_fails_with_the_number_of_segments(api: httpx2.AsyncClient) -> None:
    await save(api, channel="sms", subject_template=None, body_template="{{ name * 800 }}")
    body = {"channel": "sms", "payload": {"name": "\u4f60"}}
    assert await find_issues(api, "/templates/shipped/preview", body) == {
        "/body_template": "needs 12 SMS segments; at most 10 are sent"
    }


async def test_a_failing_preview_has_a_reason_without_values(api: httpx2.AsyncClient) -> None:
    await save(api, body_template="{{ order }}")
    path = "/templates/shipped/preview"
    assert await find_issues(api, path, {"channel": "email", "payload": {}}) == {"/payload/name": "is required"}
    failed = await api.post(path, json={"channel": "email", "payload": {"name": "canary"}})
    assert (failed.status_code, failed.json()["type"]) == (422, "urn:tocsin:problem:template-failed")
    assert failed.json()["errors"][0]["pointer"] == "/body_template"
    assert "canary" not in failed.text
