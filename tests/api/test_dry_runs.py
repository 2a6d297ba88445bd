"""Test `dry_run` over HTTP: its response, that it stores nothing, and that its errors are those of a send."""

from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from storage.database import Database
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant

pytestmark = pytest.mark.postgres

PHONE = "+447700900123"
SCHEMA = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
# The tables that a send may write to.
TABLES = (
    *("notification", "queue_entry", "event", "delivery", "recipient", "user_preference", "throttle_window"),
    *("throttle_queue_entry", "digest", "attempt", "multi_send", "audit_entry"),
)


async def add_type(api_tenant: ApiTenant, *route: dict[str, Any], **more: Any) -> None:
    await api_tenant.put_type("news", *route, template={"variables_schema": SCHEMA}, **more)


async def add_person(api_tenant: ApiTenant, **profile: Any) -> None:
    await api_tenant.put_recipient(**{"email": "ada@example.com", "phone": PHONE, **profile})


async def ask(api_tenant: ApiTenant, key: str | None = None, **more: Any) -> httpx2.Response:
    whom = {} if {"recipient", "recipients", "topic"} & more.keys() else {"recipient_id": "ada"}
    body = {"notification_type": "news", "payload": {"name": "Ada"}, "dry_run": True, **whom, **more}
    return await api_tenant.http.post("/notifications/send", json=body, headers={"Idempotency-Key": key} if key else {})


async def foretold(api_tenant: ApiTenant, **more: Any) -> dict[str, Any]:
    response = await ask(api_tenant, **more)
    assert response.status_code == 200, response.text
    forecast: dict[str, Any] = response.json()
    return forecast


async def rows(database: Database) -> dict[str, list[str]]:
    """Return all rows with their versions, so that a rewritten row differs."""
    async with database.transaction() as session:
        return {
            table: sorted((await session.execute(text(f"SELECT concat(xmin, ' ', t) FROM {table} t"))).scalars())
            for table in TABLES
        }


async def test_a_dry_run_shows_decision_provider_language_content_and_rule(api_tenant: ApiTenant) -> None:
    await add_type(
        api_tenant,
        {"channels": ["email"], "until": "opened", "within": "90m"},
        {"channels": ["sms"]},
        {"channels": ["in_app"]},
    )
    await add_person(api_tenant, locale="fr")
    await api_tenant.http.put("/recipients/ada/preferences", json={"global_channel_opt_in": {"sms": False}})
    response = await foretold(api_tenant)
    assert (response["decision"], response["status"], response["waits"], response["digest"]) == ("send", None, [], None)
    first, second, third = response["steps"]
    [email], [sms], [in_app] = first["channels"], second["channels"], third["channels"]
    assert (first["step"], first["start"], first["goal"], first["within"]) == (1, "always", "opened", "90m")
    assert (third["step"], third["start"], in_app["decision"], in_app["provider"]) == (
        3,
        "goal_missed",
        "send",
        "in_app",
    )
    assert (email["decision"], email["rule"], email["provider"], email["language"]) == (
        "send",
        "type.default",
        "sandbox",
        "en",
    )
    assert email["rendered_content"]["subject"] == "Hi Ada"
    assert (email["template_name"], email["template_version"]) == ("news", 1)
    rule = "global_channel_opt_in.sms"
    assert (sms["decision"], sms["reason"], sms["rule"], sms["rendered_content"]) == (
        "skip",
        f"opted_out ({rule})",
        rule,
        None,
    )


@pytest.mark.parametrize(
    "more",
    [{}, {"recipient": {"recipient_id": "ada", "email": "new@example.com"}}, {"recipient": {"recipient_id": "bob"}}],
    ids=["known", "updated inline", "new inline"],
)
async def test_a_dry_run_stores_nothing(api_tenant: ApiTenant, database: Database, more: dict[str, Any]) -> None:
    limits = {"throttle": {"limit": 1, "per": "1h"}, "digest": {"window": "1h"}}
    await add_type(api_tenant, {"channels": ["email"]}, {"channels": ["sms"]}, **limits)
    await add_person(api_tenant)
    before = await rows(database)
    assert (await ask(api_tenant, key="once", **more)).status_code == 200
    assert await rows(database) == before
    real = {"notification_type": "news", "recipient_id": "ada", "payload": {"name": "Ada"}}
    sent = await api_tenant.http.post("/notifications/send", json=real, headers={"Idempotency-Key": "once"})
    assert (sent.status_code, sent.headers.get("Idempotent-Replayed")) == (202, None)


async def test_an_inline_profile_overrides_the_stored_one(api_tenant: ApiTenant) -> None:
    await add_type(api_tenant, {"channels": ["email"]}, {"channels": ["sms"]})
    await api_tenant.http.put("/recipients/ada", json={"phone": PHONE})
    response = await foretold(api_tenant, recipient={"recipient_id": "ada", "email": "ada@example.com"})
    assert [channel["decision"] for step in response["steps"] for channel in step["channels"]] == ["send", "send"]
    await api_tenant.http.post("/suppressions", json={"channel": "email", "address": "gone@example.com"})
    response = await foretold(api_tenant, recipient={"recipient_id": "ada", "email": "gone@example.com"})
    [first, second] = response["steps"]
    assert first["channels"][0]["reason"] == "suppressed (manual)"
    assert (second["start"], second["channels"][0]["decision"]) == ("always", "send")


async def test_a_send_that_reaches_no_channel_is_skipped_with_its_end(api_tenant: ApiTenant) -> None:
    await add_type(api_tenant, {"channels": ["email"]})
    await add_person(api_tenant)
    await api_tenant.http.put("/recipients/ada/preferences", json={"global_channel_opt_in": {"email": False}})
    response = await foretold(api_tenant)
    reason = "email: opted_out (global_channel_opt_in.email)"
    assert (response["decision"], response["status"], response["reason"]) == ("skip", "SUPPRESSED", reason)


@pytest.mark.parametrize("pause", ["/channels/email/pause", "/notification-types/news/pause"])
async def test_a_paused_channel_or_type_waits(api_tenant: ApiTenant, pause: str) -> None:
    await add_type(api_tenant, {"channels": ["email"]})
    await add_person(api_tenant)
    assert (await api_tenant.http.post(pause)).is_success
    response = await foretold(api_tenant)
    [channel] = response["steps"][0]["channels"]
    assert (response["decision"], channel["decision"]) == ("wait", "wait")
    assert channel["reason"].startswith("paused (")


async def test_a_template_that_fails_is_a_reason_and_the_next_step_runs(api_tenant: ApiTenant) -> None:
    await add_type(api_tenant, {"channels": ["email"]}, {"channels": ["sms"]})
    await api_tenant.add_template("news", "email", "{{ 1 / 0 }}")
    await add_person(api_tenant)
    first, second = (await foretold(api_tenant))["steps"]
    assert first["channels"][0]["reason"].startswith("template_error: ")
    assert (second["start"], second["channels"][0]["decision"]) == ("always", "send")


async def test_a_dry_run_shows_the_segments_of_an_sms(api_tenant: ApiTenant) -> None:
    await add_type(api_tenant, {"channels": ["sms"]}, {"channels": ["email"]}, sms={"fold_typography": True})
    await api_tenant.add_template("news", "sms", "{{ name }}\u2019s news\u2026")
    await add_person(api_tenant)
    first, second = (await foretold(api_tenant))["steps"]
    [sms], [email] = first["channels"], second["channels"]
    assert (sms["rendered_content"], sms["sms"]) == ({"text": "Ada's news..."}, {"encoding": "gsm7", "segments": 1})
    assert email["sms"] is None


async def test_a_dry_run_of_a_too_long_sms_skips_to_the_next_step(api_tenant: ApiTenant) -> None:
    await add_type(api_tenant, {"channels": ["sms"]}, {"channels": ["email"]})
    await api_tenant.add_template("news", "sms", "{{ name * 600 }}")
    await add_person(api_tenant)
    first, second = (await foretold(api_tenant))["steps"]
    [sms] = first["channels"]
    assert (sms["decision"], sms["reason"], sms["sms"]) == ("skip", "sms_too_long (12 segments)", None)
    assert (second["start"], second["channels"][0]["decision"]) == ("always", "send")


async def test_rules_that_never_allow_a_send_end_the_forecast(api_tenant: ApiTenant) -> None:
    await add_type(api_tenant, {"channels": ["email"]}, send_window={"start": "10:00", "end": "11:00"})
    await add_person(api_tenant, timezone="UTC")
    quiet = {"start": "09:00", "end": "12:00", "timezone": "UTC"}
    await api_tenant.http.put("/recipients/ada/preferences", json={"quiet_hours": quiet})
    response = await foretold(api_tenant)
    assert (response["decision"], response["steps"]) == ("wait", [])
    assert {wait["reason"] for wait in response["waits"]} == {"quiet_hours", "send_window"}


async def test_a_key_that_is_held_replays_and_with_another_body_is_refused(api_tenant: ApiTenant) -> None:
    await add_type(api_tenant, {"channels": ["email"]})
    await add_person(api_tenant)
    real = {"notification_type": "news", "recipient_id": "ada", "payload": {"name": "Ada"}}
    sent = await api_tenant.http.post("/notifications/send", json=real, headers={"Idempotency-Key": "k"})
    response = (await ask(api_tenant, key="k")).json()
    assert (response["decision"], response["replays"], response["steps"]) == ("skip", sent.json()["id"], [])
    assert set(validation_errors(await ask(api_tenant, key="k", payload={"name": "Bob"}))) == {""}


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ({"notification_type": "absent"}, "/notification_type"),
        ({"payload": {}}, "/payload/name"),
        ({"channels": ["push"]}, "/channels/0"),
        ({"recipient_id": "unknown"}, "/recipient_id"),
        ({"recipient": {"recipient_id": "ada", "attributes": {"a": ["x"] * 10_000}}}, "/recipient/attributes"),
        ({"send_at": "2020-01-01T00:00:00Z", "expires_in": "1h"}, "/send_at"),
        ({"dry_run": "yes"}, "/dry_run"),
    ],
)
async def test_errors_of_a_dry_run_are_those_of_a_send(
    api_tenant: ApiTenant, more: dict[str, Any], pointer: str
) -> None:
    await add_type(api_tenant, {"channels": ["email"]})
    await add_person(api_tenant)
    found = validation_errors(await ask(api_tenant, **more))
    assert set(found) == {pointer}
    if "dry_run" not in more:
        assert validation_errors(await ask(api_tenant, **more, dry_run=False)) == found


@pytest.mark.parametrize("whom", [{"recipients": [{"recipient_id": "ada"}]}, {"topic": "lamps"}])
async def test_a_dry_run_is_for_one_recipient(api_tenant: ApiTenant, whom: dict[str, Any]) -> None:
    await add_type(api_tenant, {"channels": ["email"]})
    assert set(validation_errors(await ask(api_tenant, **whom))) == {"/dry_run"}


async def test_a_send_at_beyond_the_calendar_is_refused(api_tenant: ApiTenant) -> None:
    await add_type(api_tenant, {"channels": ["email"]}, digest={"window": "1h"})
    await add_person(api_tenant)
    assert set(validation_errors(await ask(api_tenant, send_at="9999-12-31T23:59:59Z"))) == {"/send_at"}
