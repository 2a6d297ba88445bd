"""Test a type as it is stored and as the engine uses it."""

from datetime import timedelta
from typing import Any

import pytest

from domain.channels import Channel
from domain.evidence import Evidence
from domain.notification_types import Guarantee, RouteStep, TemplatePolicy, from_spec
from tests.domain.sample_types import TYPE_ID, sample_type

FULL = {
    "key": "order.shipped",
    "category": "ORDERS",
    "required": True,
    "default": {"email": "on", "sms": "off"},
    "priority": 1,
    "route": [{"channels": ["push", "in_app"], "until": "delivered", "within": "10m"}, {"channels": ["email"]}],
    "templates": {"push": "short", "in_app": "short", "email": "long"},
    "template_policy": "latest",
    "delivery_guarantee": "at_most_once",
    "expires_in": "3d",
    "give_up_after": "90s",
    "always": ["webhook"],
    "sms": {"fold_typography": True},
}


def test_every_field_of_a_type_is_read() -> None:
    read = from_spec(TYPE_ID, FULL)
    assert (read.id, read.key, read.category, read.required, read.priority) == (
        TYPE_ID,
        "order.shipped",
        "ORDERS",
        True,
        1,
    )
    assert read.default == {Channel.EMAIL: True, Channel.SMS: False}
    first = RouteStep(channels=(Channel.PUSH, Channel.IN_APP), goal=Evidence.DELIVERED, within=timedelta(minutes=10))
    assert read.route == (first, RouteStep(channels=(Channel.EMAIL,)))
    assert read.always == (Channel.WEBHOOK,)
    assert read.channels == [Channel.WEBHOOK, Channel.PUSH, Channel.IN_APP, Channel.EMAIL]
    assert read.templates == {Channel.PUSH: "short", Channel.IN_APP: "short", Channel.EMAIL: "long"}
    assert (read.template_policy, read.guarantee) == (TemplatePolicy.LATEST, Guarantee.AT_MOST_ONCE)
    assert (read.expires_in, read.give_up_after) == (timedelta(days=3), timedelta(seconds=90))
    assert read.sms.fold_typography


def test_key_route_and_templates_are_enough() -> None:
    read = from_spec(TYPE_ID, {"key": "k", "route": [{"channels": ["email"]}], "templates": {"email": "t"}})
    assert (read.category, read.required, read.default, read.priority) == (None, False, True, 3)
    assert (read.template_policy, read.guarantee) == (TemplatePolicy.PINNED, None)
    assert (read.expires_in, read.give_up_after) == (None, None)
    assert not read.sms.fold_typography


@pytest.mark.parametrize(("written", "read"), [("on", True), ("off", False)])
def test_the_default_is_on_or_off(written: str, read: bool) -> None:
    assert sample_type(default=written).default is read


@pytest.mark.parametrize(
    ("priority", "give_up_after"),
    [
        (1, timedelta(minutes=5)),
        (2, timedelta(minutes=5)),
        (3, timedelta(hours=1)),
        (5, timedelta(hours=1)),
    ],
)
def test_give_up_after_follows_the_priority_of_the_notification(priority: int, give_up_after: timedelta) -> None:
    assert sample_type(priority=3).effective_give_up_after(priority) == give_up_after


@pytest.mark.parametrize("priority", [1, 5])
def test_the_types_give_up_time_is_applied(priority: int) -> None:
    assert sample_type(give_up_after="2h").effective_give_up_after(priority) == timedelta(hours=2)


@pytest.mark.parametrize(
    ("channels", "priority", "more", "is_held"),
    [
        (["email"], 3, {}, True),
        (["in_app", "email"], 3, {}, True),
        (["in_app"], 3, {}, False),
        (["webhook"], 3, {}, False),
        (["email"], 2, {}, False),
        (["email"], 1, {"respects_quiet_hours": True}, False),
        (["email"], 3, {"required": True}, False),
        (["email"], 3, {"respects_quiet_hours": False}, False),
    ],
)
def test_quiet_hours_hold_all_but_urgent_required_and_silent_sends(
    channels: list[str], priority: int, more: dict[str, Any], is_held: bool
) -> None:
    assert sample_type(channels, **more).is_held_by_quiet_hours(priority) is is_held
