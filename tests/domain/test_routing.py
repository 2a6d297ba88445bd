"""Test which channels a notification uses, their order, and the reasons for the others."""

from collections.abc import Sequence

import pytest

from domain.channels import Channel
from domain.messages import StepPlan
from domain.names import delivery_id
from domain.preferences import RecipientPreferences
from domain.reasons import Reason, reason_line
from domain.routing import PoolMember
from tests.domain.channel_plans import ALL, person, planned, sole, why_not
from tests.domain.ledgers import ident
from tests.domain.sample_types import sample_type

EMAIL, SMS = Channel.EMAIL, Channel.SMS


def channels(steps: Sequence[StepPlan]) -> list[tuple[int, list[Channel]]]:
    return [(step.number, [plan.channel for plan in step.channels]) for step in steps]


def test_steps_keep_the_order_and_the_numbers_of_the_route() -> None:
    steps, skips = planned(sample_type(["email", "in_app"], ["sms"]))
    assert channels(steps) == [(1, [EMAIL, Channel.IN_APP]), (2, [SMS])]
    assert skips == []


def test_a_step_without_channels_is_skipped_and_the_next_keeps_its_number() -> None:
    steps, [skip] = planned(sample_type(["sms"], ["email"]), person(contacts=frozenset({"email"})))
    assert channels(steps) == [(2, [EMAIL])]
    assert (skip.step, skip.channel, reason_line(skip.reason)) == (1, SMS, "no_address")


def test_only_requested_channels_are_planned_or_mentioned() -> None:
    steps, skips = planned(
        sample_type(["sms", "in_app"], ["email"]), person(contacts=frozenset({"email"})), only=[Channel.IN_APP]
    )
    assert channels(steps) == [(1, [Channel.IN_APP])]
    assert skips == []


def test_a_yes_adds_no_channel_outside_the_route() -> None:
    steps, skips = planned(sample_type(["email"]), person(preferences=RecipientPreferences(channels={"sms": True})))
    assert (channels(steps), skips) == ([(1, [EMAIL])], [])


@pytest.mark.parametrize(
    ("channel", "contact"),
    [(EMAIL, "email"), (SMS, "phone"), (Channel.WEBHOOK, "webhook_url"), (Channel.CHAT, "chat_url")],
)
def test_a_channel_needs_its_own_contact_point(channel: Channel, contact: str) -> None:
    assert why_not(sample_type([channel]), person(contacts=ALL - {contact})).reason == Reason("no_address")
    assert sole(sample_type([channel]), person(contacts=frozenset({contact}))).endpoints[0].id == channel


def test_a_chat_room_of_the_tenant_replaces_the_chat_of_the_recipient() -> None:
    in_room = sample_type(["chat"], chat={"room": "ops"})
    plan = sole(in_room, person(contacts=frozenset()), chat_rooms=frozenset({"ops"}))
    assert [endpoint.id for endpoint in plan.endpoints] == ["chat"]
    skip = why_not(in_room)
    assert (reason_line(skip.reason), skip.is_skipped_by_rule) == ("no_chat_room (ops)", False)


def test_a_chat_room_is_no_address_of_another_channel() -> None:
    in_room = sample_type(["webhook"], chat={"room": "ops"})
    skip = why_not(in_room, person(contacts=frozenset()), chat_rooms=frozenset({"ops"}))
    assert skip.reason == Reason("no_address")


def test_in_app_needs_no_contact_point() -> None:
    assert sole(sample_type(["in_app"]), person(contacts=frozenset())).endpoints[0].id == "in_app"


def test_a_channel_without_a_published_template_is_skipped() -> None:
    skip = why_not(sample_type(["email"]), channels_with_template=frozenset({SMS}))
    assert (reason_line(skip.reason), skip.is_skipped_by_rule) == ("no_template", False)


@pytest.mark.parametrize("pools", [{}, {EMAIL: ()}])
def test_a_channel_without_a_provider_is_skipped(pools: dict[Channel, Sequence[PoolMember]]) -> None:
    assert why_not(sample_type(["email"]), pools=pools).reason == Reason("no_provider")


def test_an_opt_out_is_a_rule_and_named() -> None:
    skip = why_not(sample_type(["email"]), person(preferences=RecipientPreferences(channels={"email": False})))
    assert (reason_line(skip.reason), skip.is_skipped_by_rule, skip.rule) == (
        "opted_out (global_channel_opt_in.email)",
        True,
        "global_channel_opt_in.email",
    )


def test_an_opt_out_is_reported_before_a_missing_address() -> None:
    recipient = person(contacts=frozenset(), preferences=RecipientPreferences(channels={"email": False}))
    assert why_not(sample_type(["email"]), recipient).is_skipped_by_rule


def test_an_erased_recipient_gets_no_required_type() -> None:
    skip = why_not(sample_type(["email"], required=True), person(known=False))
    assert (reason_line(skip.reason), skip.is_skipped_by_rule) == ("recipient_erased", True)


def test_a_delivery_has_the_same_id_whenever_it_is_planned() -> None:
    first, again = sole(sample_type(["email"])), sole(sample_type(["email"]))
    assert first.delivery_id == again.delivery_id == delivery_id(ident("n"), 1, 1, "email")
