"""Test which channels a notification uses, their order, and the reasons for the others."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.channels import Channel, DeviceKind
from domain.circuits import CircuitHealth
from domain.messages import ChannelPlan, StepPlan
from domain.names import delivery_id
from domain.notification_types import Guarantee, NotificationType
from domain.preferences import RecipientPreferences
from domain.rates import ProviderRateLimits
from domain.reasons import Reason, reason_line
from domain.routing import LastAttempt, PoolMember, Router, RoutingRecipient, SkippedChannel
from domain.stored_limits import MAX_DEVICES_PER_CHANNEL
from tests.domain.ledgers import ident
from tests.domain.sample_types import sample_type

EMAIL, SMS, PUSH, WEB_PUSH = Channel.EMAIL, Channel.SMS, Channel.PUSH, Channel.WEB_PUSH
FCM, APNS = DeviceKind.FCM, DeviceKind.APNS
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALL = frozenset({"email", "phone", "webhook_url", "chat_url"})


def pooled(name: str = "sandbox", *kinds: DeviceKind, asked: bool = False) -> PoolMember:
    return PoolMember(
        name=name, timeout=timedelta(seconds=10), device_kinds=frozenset(kinds or DeviceKind), supports_lookup=asked
    )


def person(**more: Any) -> RoutingRecipient:
    return RoutingRecipient(
        **{"known": True, "contacts": ALL, "devices": (), "preferences": RecipientPreferences(), **more}
    )


def planned(
    of: NotificationType,
    who: RoutingRecipient | None = None,
    *,
    pools: dict[Channel, Sequence[PoolMember]] | None = None,
    channels_with_template: frozenset[Channel] = frozenset(Channel),
    chat_rooms: frozenset[str] = frozenset(),
    only: Sequence[Channel] | None = None,
    limits: dict[str, ProviderRateLimits] | None = None,
    last_attempts: dict[tuple[UUID, str], LastAttempt] | None = None,
    healths: dict[str, CircuitHealth] | None = None,
) -> tuple[tuple[StepPlan, ...], list[SkippedChannel]]:
    router = Router(
        notification_id=ident("n"),
        generation=1,
        notification_type=of,
        recipient=who or person(),
        pools=dict.fromkeys(Channel, (pooled(),)) if pools is None else pools,
        channels_with_template=channels_with_template,
        chat_rooms=chat_rooms,
        limits=limits or {},
        last_attempts=last_attempts or {},
        healths=healths or {},
    )
    return router.plan(only)


def channels(steps: Sequence[StepPlan]) -> list[tuple[int, list[Channel]]]:
    return [(step.number, [plan.channel for plan in step.channels]) for step in steps]


def sole(*args: Any, **more: Any) -> ChannelPlan:
    [step], skips = planned(*args, **more)
    assert skips == []
    [plan] = step.channels
    return plan


def why_not(*args: Any, **more: Any) -> SkippedChannel:
    steps, [skip] = planned(*args, **more)
    assert steps == ()
    return skip


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


def test_each_device_is_an_endpoint_with_the_providers_that_take_its_kind() -> None:
    who = person(devices=(("tablet", APNS), ("phone", FCM), ("browser", DeviceKind.WEB_PUSH)))
    plan = sole(sample_type(["push"]), who, pools={PUSH: (pooled("apns", APNS), pooled("fcm", FCM), pooled("sandbox"))})
    assert {e.id: [p.name for p in e.providers] for e in plan.endpoints} == {
        "tablet": ["apns", "sandbox"],
        "phone": ["fcm", "sandbox"],
    }


def test_a_browser_is_reached_by_web_push_alone() -> None:
    who = person(devices=(("browser", DeviceKind.WEB_PUSH),))
    assert [e.id for e in sole(sample_type(["web_push"]), who).endpoints] == ["browser"]
    assert why_not(sample_type(["push"]), who).reason == Reason("no_address")


def test_a_device_without_a_provider_is_skipped() -> None:
    only_fcm = {PUSH: (pooled("fcm", FCM),)}
    both = person(devices=(("phone", FCM), ("tablet", APNS)))
    assert [e.id for e in sole(sample_type(["push"]), both, pools=only_fcm).endpoints] == ["phone"]
    assert why_not(sample_type(["push"]), person(devices=(("tablet", APNS),)), pools=only_fcm).reason == Reason(
        "no_provider"
    )


def test_the_pool_keeps_its_order_for_failover() -> None:
    plan = sole(sample_type(["email"]), pools={EMAIL: (pooled("first"), pooled("second"))})
    assert [p.name for p in plan.endpoints[0].providers] == ["first", "second"]


@pytest.mark.parametrize(
    ("declared", "guarantees"),
    [
        (None, [Guarantee.RECONCILE, Guarantee.AT_LEAST_ONCE]),
        ("at_most_once", [Guarantee.AT_MOST_ONCE, Guarantee.AT_MOST_ONCE]),
        ("reconcile", [Guarantee.RECONCILE, Guarantee.RECONCILE]),
    ],
)
def test_the_guarantee_comes_from_the_type_or_the_provider(declared: str | None, guarantees: list[Guarantee]) -> None:
    pools = {EMAIL: (pooled("first", asked=True), pooled("second", asked=False))}
    [endpoint] = sole(sample_type(["email"], delivery_guarantee=declared), pools=pools).endpoints
    assert [provider.guarantee for provider in endpoint.providers] == guarantees


@pytest.mark.parametrize(
    ("declared", "guarantee"), [(None, Guarantee.AT_LEAST_ONCE), ("reconcile", Guarantee.RECONCILE)]
)
def test_a_provider_that_refuses_lookups_weakens_the_default_alone(declared: str | None, guarantee: Guarantee) -> None:
    asked = replace(pooled("first", asked=True), settles_within=timedelta(minutes=10))
    for refused in (False, True):
        health = CircuitHealth(provider="first", changed_at=NOW, penalty_updated_at=NOW, lookup_refused=refused)
        of = sample_type(["email"], delivery_guarantee=declared)
        [endpoint] = sole(of, pools={EMAIL: (asked,)}, healths={"first": health}).endpoints
        [provider] = endpoint.providers
        assert provider.guarantee is (guarantee if refused else Guarantee.RECONCILE)
        assert provider.settles_within == timedelta(minutes=10)  # its receipt may arrive


def test_an_idempotency_window_makes_reconcile_the_default() -> None:
    window = timedelta(hours=24)
    pools = {EMAIL: (replace(pooled("first"), idempotency_window=window), pooled("second"))}
    [endpoint] = sole(sample_type(["email"]), pools=pools).endpoints
    assert [(provider.guarantee, provider.idempotency_window) for provider in endpoint.providers] == [
        (Guarantee.RECONCILE, window),
        (Guarantee.AT_LEAST_ONCE, timedelta()),
    ]


def test_a_delivery_has_the_same_id_whenever_it_is_planned() -> None:
    first, again = sole(sample_type(["email"])), sole(sample_type(["email"]))
    assert first.delivery_id == again.delivery_id == delivery_id(ident("n"), 1, 1, "email")


@pytest.mark.parametrize(
    ("setting", "limits", "has_rate"),
    [
        (0, {}, False),
        (3, {}, True),
        (0, {"sandbox": ProviderRateLimits(rate=5)}, True),
        (0, {"sandbox": ProviderRateLimits(tenant_rate=5)}, True),
        (3, {"sandbox": ProviderRateLimits(rate=0)}, False),
        (3, {"sandbox": ProviderRateLimits(tenant_rate=0)}, True),
        (0, {"smtp": ProviderRateLimits(rate=5)}, False),
    ],
)
def test_a_plan_records_whether_a_provider_has_a_rate(
    setting: float, limits: dict[str, ProviderRateLimits], has_rate: bool
) -> None:
    pools = {EMAIL: (replace(pooled(), rate=setting),)}
    [endpoint] = sole(sample_type(["email"]), pools=pools, limits=limits).endpoints
    assert [provider.has_rate for provider in endpoint.providers] == [has_rate]


def test_the_newest_devices_and_already_called_ones_are_used() -> None:
    devices = [(f"device-{number}", FCM) for number in range(MAX_DEVICES_PER_CHANNEL + 5)]
    plan = sole(sample_type(["push"]), person(devices=devices))
    assert [endpoint.id for endpoint in plan.endpoints] == [id for id, _ in devices[:MAX_DEVICES_PER_CHANNEL]]
    assert plan.devices_skipped == 5
    begun = {(plan.delivery_id, devices[-1][0]): LastAttempt(number=3, earlier_unknown_outcomes=2)}
    again = sole(sample_type(["push"]), person(devices=devices), last_attempts=begun)
    [first, *others] = again.endpoints
    assert (first.id, first.first_attempt_number, first.earlier_unknown_outcomes) == (devices[-1][0], 3, 2)
    assert {(other.first_attempt_number, other.earlier_unknown_outcomes) for other in others} == {(1, 0)}
    assert len(again.endpoints) == MAX_DEVICES_PER_CHANNEL
