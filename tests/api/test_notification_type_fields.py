"""Test the fields of notification types: which values are stored, and which are refused with their place."""

from typing import Any

import httpx2
import pytest

from tests.api.shipped_types import PATH, SHIPPED, changed

pytestmark = pytest.mark.postgres

DAYTIME = {"start": "09:00", "end": "17:00"}
SLIDING = {"window": "1h", "sliding": True}
DAILY = {"schedule": "0 9 * * *"}


async def find_issues(api: httpx2.AsyncClient, body: Any) -> dict[str, str]:
    response = await api.put(PATH, json=body)
    assert response.status_code == 422
    return {error["pointer"]: error["detail"] for error in response.json()["errors"]}


@pytest.mark.parametrize(
    ("changes", "pointer", "detail"),
    [
        ({"route": ...}, "/route", "is required"),
        ({"route": []}, "/route", "List should have at least 1 item"),
        ({"route": [{"channels": []}]}, "/route/0/channels", "List should have at least 1 item"),
        ({"route": [{"channels": ["fax"]}]}, "/route/0/channels/0", "must be 'email'"),
        ({"route": [{"channels": ["sms", "sms"]}]}, "/route/0/channels", "names a channel twice"),
        (
            {"route": [{"channels": ["sms"], "until": "opened"}]},
            "/route/0",
            "`until` delivered, opened or clicked needs",
        ),
        ({"route": [{"channels": ["sms"], "until": "sent", "within": "1h"}]}, "/route/0", "`until` delivered, opened"),
        (
            {"route": [{"channels": ["sms"], "until": "opened", "within": "31d"}]},
            "/route/0/within",
            "must be greater than 0 and at most 30d",
        ),
        ({"route": [{"channels": ["sms"], "until": "opened", "within": "0s"}]}, "/route/0/within", "must be"),
        ({"route": [{"channels": ["sms"], "until": "soon"}]}, "/route/0/until", "must be 'sent', "),
        ({"route": [{"channels": ["sms"], "within": "10m"}]}, "/route/0", "`until` delivered, opened or"),
        ({"route": [{"channels": ["push"]}]}, "/templates/push", "is required"),
        ({"templates": ...}, "/templates", "is required"),
        ({"templates": {"fax": "x"}}, "/templates/fax", "must be 'email'"),
        ({"templates": SHIPPED["templates"] | {"sms": ""}}, "/templates/sms", "String should"),
        ({"priority": 0}, "/priority", "must be greater than or equal to 1"),
        ({"priority": 6}, "/priority", "must be less than or equal to 5"),
        ({"priority": "1"}, "/priority", "must be a valid integer"),
        ({"priority": True}, "/priority", "must be a valid integer"),
        ({"required": 1}, "/required", "must be a valid boolean"),
        ({"default": "maybe"}, "/default", "must be 'on' or 'off'"),
        ({"default": True}, "/default", "must be 'on' or 'off'"),
        ({"default": {"sms": "maybe"}}, "/default/sms", "must be 'on' or 'off'"),
        ({"default": {"fax": "on"}}, "/default/fax", "must be 'email'"),
        ({"expires_in": "1w"}, "/expires_in", "must be a whole number followed by"),
        ({"give_up_after": 60}, "/give_up_after", "must be a valid string"),
        ({"delivery_guarantee": "exactly_once"}, "/delivery_guarantee", "must be 'at_least_once'"),
        ({"template_policy": "newest"}, "/template_policy", "must be 'pinned' or 'latest'"),
        ({"key": "other"}, "/key", "must be the key in the path"),
        ({"colour": "red"}, "/colour", "is not known here"),
        ({"always": ["email"]}, "/always", "email is also on the route, so it would be sent twice"),
        ({"always": ["fax"]}, "/always/0", "must be 'email'"),
        ({"always": ["webhook"]}, "/templates/webhook", "is required, because the route has this channel"),
        ({"respects_quiet_hours": "no"}, "/respects_quiet_hours", "must be a valid boolean"),
        ({"send_window": {"start": "09:00"}}, "/send_window/end", "is required"),
        ({"send_window": {"start": "9:00", "end": "17:00"}}, "/send_window/start", "String should match"),
        ({"send_window": {"start": "09:00", "end": "09:00"}}, "/send_window", "must not start and end at the same"),
        ({"send_window": DAYTIME | {"days": ["monday"]}}, "/send_window/days/0", "must be 'mon', "),
        ({"send_window": DAYTIME | {"days": []}}, "/send_window/days", "List should have at least 1 item"),
        ({"send_window": DAYTIME | {"timezone": "UTC"}}, "/send_window/timezone", "is not known here"),
        ({"throttle": {"per": "1h"}}, "/throttle/limit", "is required"),
        ({"throttle": {"limit": 1}}, "/throttle/per", "is required"),
        ({"throttle": {"limit": 0, "per": "1h"}}, "/throttle/limit", "must be greater than or equal to 1"),
        ({"throttle": {"limit": 100_001, "per": "1h"}}, "/throttle/limit", "must be less than or equal to 100000"),
        ({"throttle": {"limit": 1, "per": "1w"}}, "/throttle/per", "must be a whole number followed by"),
        ({"throttle": {"limit": 1, "per": "32d"}}, "/throttle/per", "must be at most 31d"),
        ({"throttle": {"limit": 1, "per": "1h", "scope": "planet"}}, "/throttle/scope", "must be 'recipient' or"),
        ({"throttle": {"limit": 1, "per": "1h", "on_exceed": "shrug"}}, "/throttle/on_exceed", "must be 'drop', "),
        (
            {"throttle": {"limit": 1, "per": "1h", "on_exceed": "digest"}},
            "/digest",
            "is required, because items over the `throttle`",
        ),
        ({"digest": True}, "/digest", "must be an object"),
        ({"digest": {}}, "/digest", "needs either `window` or `schedule`"),
        ({"digest": {"window": "15m", "schedule": "0 9 * * *"}}, "/digest", "needs either `window` or `schedule`"),
        ({"digest": {"window": "0m"}}, "/digest/window", "must be a whole number followed by"),
        ({"digest": {"window": "32d"}}, "/digest/window", "must be at most 31d"),
        ({"digest": {"window": "1h", "sliding": True}}, "/digest", "`sliding` needs `max_window`, and"),
        ({"digest": {"window": "1h", "max_window": "2h"}}, "/digest", "`sliding` needs `max_window`, and"),
        ({"digest": SLIDING | {"max_window": "59m"}}, "/digest", "`max_window` must not be shorter than the `window`"),
        ({"digest": SLIDING | {"max_window": "32d"}}, "/digest/max_window", "must be at most 31d"),
        ({"digest": DAILY | {"sliding": True, "max_window": "1h"}}, "/digest", "only a `window` can be `sliding`"),
        ({"digest": DAILY | {"send_first_immediately": True}}, "/digest", "`send_first_immediately` needs a `window`"),
        ({"digest": {"schedule": "0 9 * *"}}, "/digest/schedule", "must have five fields, such as"),
        ({"digest": {"schedule": "0 25 * * *"}}, "/digest/schedule", "hour: 25 must be 0 to 23"),
        ({"digest": {"schedule": "0 9 30 2 *"}}, "/digest/schedule", "is never due"),
        ({"digest": {"window": "1h", "key": ""}}, "/digest/key", "String should have at least 1 character"),
        ({"digest": {"window": "1h", "max_items": 0}}, "/digest/max_items", "must be greater than or equal to 1"),
        ({"digest": {"window": "1h", "max_items": 1_001}}, "/digest/max_items", "must be less than or equal to 1000"),
        ({"from": "x"}, "/from", "must be an object"),
        ({"reply_to": {"email": "x"}}, "/reply_to/email", "must be an email address"),
        ({"tracking": True}, "/tracking", "must be an object"),
        ({"tracking": {"opens": 1}}, "/tracking/opens", "must be a valid boolean"),
        ({"tracking": {"replies": True}}, "/tracking/replies", "is not known here"),
        ({"sms": True}, "/sms", "must be an object"),
        ({"sms": {"fold_typography": 1}}, "/sms/fold_typography", "must be a valid boolean"),
        ({"sms": {"sender": "x"}}, "/sms/sender", "is not known here"),
        ({"sensitive": True}, "/sensitive", "is not supported yet"),
        ({"variants": [{}]}, "/variants", "is not supported yet"),
    ],
)
async def test_a_bad_type_is_refused_with_the_place(
    api: httpx2.AsyncClient, changes: dict[str, Any], pointer: str, detail: str
) -> None:
    found = await find_issues(api, changed(**changes))
    assert list(found) == [pointer]
    assert found[pointer].startswith(detail)


async def test_saying_no_is_kept(api: httpx2.AsyncClient) -> None:
    body = changed(respects_quiet_hours=False, tracking=False, digest=None, throttle=None, send_window=None, always=[])
    assert (await api.put(PATH, json=body)).status_code == 201
    kept = (await api.get(PATH)).json()
    assert kept["respects_quiet_hours"] is False
    assert not {"digest", "throttle", "send_window"} & kept.keys()


@pytest.mark.parametrize(
    ("name", "asked", "added"),
    [
        ("send_window", DAYTIME, {}),
        ("send_window", DAYTIME | {"days": ["mon", "fri"]}, {}),
        ("throttle", {"limit": 3, "per": "1h"}, {"scope": "recipient", "on_exceed": "drop"}),
        ("throttle", {"limit": 3, "per": "31d", "scope": "tenant", "on_exceed": "defer"}, {}),
        ("digest", {"window": "15m"}, {"sliding": False, "max_items": 100, "send_first_immediately": False}),
        (
            "digest",
            SLIDING | {"max_window": "1h", "key": "project"},
            {"max_items": 100, "send_first_immediately": False},
        ),
        ("digest", DAILY | {"max_items": 1000}, {"sliding": False, "send_first_immediately": False}),
        ("digest", {"window": "31d", "send_first_immediately": True}, {"sliding": False, "max_items": 100}),
    ],
)
async def test_timing_rules_are_stored_as_written_with_their_defaults(
    api: httpx2.AsyncClient, name: str, asked: dict[str, Any], added: dict[str, Any]
) -> None:
    assert (await api.put(PATH, json=changed(**{name: asked}))).status_code == 201
    assert (await api.get(PATH)).json()[name] == asked | added


async def test_sends_over_a_throttle_can_join_an_existing_digest(api: httpx2.AsyncClient) -> None:
    body = changed(throttle={"limit": 1, "per": "1h", "on_exceed": "digest"}, digest={"window": "15m"})
    assert (await api.put(PATH, json=body)).status_code == 201


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({"opens": True}, {"opens": True, "clicks": False, "vendor": False}),
        ({"opens": True, "clicks": True}, {"opens": True, "clicks": True, "vendor": False}),
        ({"vendor": True}, {"opens": False, "clicks": False, "vendor": True}),
        ({}, {"opens": False, "clicks": False, "vendor": False}),
        (False, None),
        (None, None),
    ],
)
async def test_tracking_is_switched_on_by_name(api: httpx2.AsyncClient, asked: Any, kept: Any) -> None:
    assert (await api.put(PATH, json=changed(tracking=asked))).status_code == 201
    assert (await api.get(PATH)).json().get("tracking") == kept


@pytest.mark.parametrize(
    ("asked", "kept"),
    [({"fold_typography": True}, {"fold_typography": True}), ({}, {"fold_typography": False}), (None, None)],
)
async def test_sms_options_are_kept(api: httpx2.AsyncClient, asked: Any, kept: Any) -> None:
    assert (await api.put(PATH, json=changed(sms=asked))).status_code == 201
    assert (await api.get(PATH)).json().get("sms") == kept
