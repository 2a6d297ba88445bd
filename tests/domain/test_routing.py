"""Which channels a notification takes, in which order, and why not the others."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.channels import Channel, DeviceKind
from domain.circuits import Health
from domain.messages import ChannelPlan, StepPlan
from domain.names import delivery_id
from domain.notification_types import Guarantee, NotificationType
from domain.preferences import Preferences
from domain.rates import Limits
from domain.reasons import Reason, line
from domain.routing import LastAttempt, Person, Pooled, Router, Skip
from domain.stored_limits import DEVICES_USED
from tests.domain.kinds import kind
from tests.domain.ledgers import ident

EMAIL, SMS, PUSH, WEB_PUSH = Channel.EMAIL, Channel.SMS, Channel.PUSH, Channel.WEB_PUSH
FCM, APNS = DeviceKind.FCM, DeviceKind.APNS
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALL = frozenset({"email", "phone", "webhook_url"})


def pooled(name: str = "sandbox", *kinds: DeviceKind, asked: bool = False) -> Pooled:
    return Pooled(
        name=name, timeout=timedelta(seconds=10), device_kinds=frozenset(kinds or DeviceKind), can_be_asked=asked
    )


def person(**more: Any) -> Person:
    return Person(**{"known": True, "contacts": ALL, "devices": (), "preferences": Preferences(), **more})


def planned(
    of: NotificationType,
    who: Person | None = None,
    *,
    pools: dict[Channel, Sequence[Pooled]] | None = None,
    templated: frozenset[Channel] = frozenset(Channel),
    only: Sequence[Channel] | None = None,
    limits: dict[str, Limits] | None = None,
    last_attempts: dict[tuple[UUID, str], LastAttempt] | None = None,
    healths: dict[str, Health] | None = None,
) -> tuple[tuple[StepPlan, ...], list[Skip]]:
    router = Router(
        notification_id=ident("n"),
        generation=1,
        kind=of,
        person=who or person(),
        pools=dict.fromkeys(Channel, (pooled(),)) if pools is None else pools,
        templated=templated,
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


def why_not(*args: Any, **more: Any) -> Skip:
    steps, [skip] = planned(*args, **more)
    assert steps == ()
    return skip


def test_steps_keep_the_order_and_the_numbers_of_the_route() -> None:
    steps, skips = planned(kind(["email", "in_app"], ["sms"]))
    assert channels(steps) == [(1, [EMAIL, Channel.IN_APP]), (2, [SMS])]
    assert skips == []


def test_a_step_without_any_channel_left_is_left_out_and_the_next_keeps_its_number() -> None:
    steps, [skip] = planned(kind(["sms"], ["email"]), person(contacts=frozenset({"email"})))
    assert channels(steps) == [(2, [EMAIL])]
    assert (skip.step, skip.channel, line(skip.reason)) == (1, SMS, "no_address")


def test_only_the_channels_that_were_asked_for_are_taken_or_mentioned() -> None:
    steps, skips = planned(
        kind(["sms", "in_app"], ["email"]), person(contacts=frozenset({"email"})), only=[Channel.IN_APP]
    )
    assert channels(steps) == [(1, [Channel.IN_APP])]
    assert skips == []


def test_a_yes_adds_no_channel_outside_the_route() -> None:
    steps, skips = planned(kind(["email"]), person(preferences=Preferences(channels={"sms": True})))
    assert (channels(steps), skips) == ([(1, [EMAIL])], [])


@pytest.mark.parametrize(
    ("channel", "contact"),
    [(EMAIL, "email"), (SMS, "phone"), (Channel.WEBHOOK, "webhook_url")],
)
def test_a_channel_needs_its_own_contact_point(channel: Channel, contact: str) -> None:
    assert why_not(kind([channel]), person(contacts=ALL - {contact})).reason == Reason("no_address")
    assert sole(kind([channel]), person(contacts=frozenset({contact}))).endpoints[0].id == channel


def test_in_app_needs_no_contact_point() -> None:
    assert sole(kind(["in_app"]), person(contacts=frozenset())).endpoints[0].id == "in_app"


def test_a_channel_without_a_published_template_is_skipped() -> None:
    skip = why_not(kind(["email"]), templated=frozenset({SMS}))
    assert (line(skip.reason), skip.by_rule) == ("no_template", False)


@pytest.mark.parametrize("pools", [{}, {EMAIL: ()}])
def test_a_channel_without_a_provider_is_skipped(pools: dict[Channel, Sequence[Pooled]]) -> None:
    assert why_not(kind(["email"]), pools=pools).reason == Reason("no_provider")


def test_an_opt_out_is_a_rule_and_named() -> None:
    skip = why_not(kind(["email"]), person(preferences=Preferences(channels={"email": False})))
    assert (line(skip.reason), skip.by_rule, skip.rule) == (
        "opted_out (global_channel_opt_in.email)",
        True,
        "global_channel_opt_in.email",
    )


def test_an_opt_out_is_told_before_what_is_missing() -> None:
    nobody = person(contacts=frozenset(), preferences=Preferences(channels={"email": False}))
    assert why_not(kind(["email"]), nobody).by_rule


def test_an_erased_person_gets_nothing_even_of_a_required_type() -> None:
    skip = why_not(kind(["email"], required=True), person(known=False))
    assert (line(skip.reason), skip.by_rule) == ("recipient_erased", True)


def test_each_device_is_an_endpoint_with_the_providers_that_take_its_kind() -> None:
    who = person(devices=(("tablet", APNS), ("phone", FCM), ("browser", DeviceKind.WEB_PUSH)))
    plan = sole(kind(["push"]), who, pools={PUSH: (pooled("apns", APNS), pooled("fcm", FCM), pooled("sandbox"))})
    assert {e.id: [p.name for p in e.providers] for e in plan.endpoints} == {
        "tablet": ["apns", "sandbox"],
        "phone": ["fcm", "sandbox"],
    }


def test_a_browser_is_reached_by_web_push_alone() -> None:
    who = person(devices=(("browser", DeviceKind.WEB_PUSH),))
    assert [e.id for e in sole(kind(["web_push"]), who).endpoints] == ["browser"]
    assert why_not(kind(["push"]), who).reason == Reason("no_address")


def test_a_device_that_no_provider_takes_is_left_out_and_alone_it_skips_the_channel() -> None:
    only_fcm = {PUSH: (pooled("fcm", FCM),)}
    both = person(devices=(("phone", FCM), ("tablet", APNS)))
    assert [e.id for e in sole(kind(["push"]), both, pools=only_fcm).endpoints] == ["phone"]
    assert why_not(kind(["push"]), person(devices=(("tablet", APNS),)), pools=only_fcm).reason == Reason("no_provider")


def test_the_pool_keeps_its_order_for_failover() -> None:
    plan = sole(kind(["email"]), pools={EMAIL: (pooled("first"), pooled("second"))})
    assert [p.name for p in plan.endpoints[0].providers] == ["first", "second"]


@pytest.mark.parametrize(
    ("declared", "guarantees"),
    [
        (None, [Guarantee.RECONCILE, Guarantee.AT_LEAST_ONCE]),
        ("at_most_once", [Guarantee.AT_MOST_ONCE, Guarantee.AT_MOST_ONCE]),
        ("reconcile", [Guarantee.RECONCILE, Guarantee.RECONCILE]),
    ],
)
def test_the_guarantee_is_the_types_or_what_each_provider_can_do(
    declared: str | None, guarantees: list[Guarantee]
) -> None:
    pools = {EMAIL: (pooled("first", asked=True), pooled("second", asked=False))}
    [endpoint] = sole(kind(["email"], delivery_guarantee=declared), pools=pools).endpoints
    assert [provider.guarantee for provider in endpoint.providers] == guarantees


@pytest.mark.parametrize(
    ("declared", "guarantee"), [(None, Guarantee.AT_LEAST_ONCE), ("reconcile", Guarantee.RECONCILE)]
)
def test_a_provider_that_refuses_lookups_weakens_the_default_alone(declared: str | None, guarantee: Guarantee) -> None:
    asked = replace(pooled("first", asked=True), settles_within=timedelta(minutes=10))
    for refused in (False, True):
        health = Health(provider="first", changed_at=NOW, weighed_at=NOW, lookup_refused=refused)
        of = kind(["email"], delivery_guarantee=declared)
        [endpoint] = sole(of, pools={EMAIL: (asked,)}, healths={"first": health}).endpoints
        [provider] = endpoint.providers
        assert provider.guarantee is (guarantee if refused else Guarantee.RECONCILE)
        assert provider.settles_within == timedelta(minutes=10)  # its receipt may come


def test_a_delivery_has_the_same_id_whenever_it_is_planned() -> None:
    first, again = sole(kind(["email"])), sole(kind(["email"]))
    assert first.delivery_id == again.delivery_id == delivery_id(ident("n"), 1, 1, "email")


@pytest.mark.parametrize(
    ("setting", "limits", "has_rate"),
    [
        (0, {}, False),
        (3, {}, True),
        (0, {"sandbox": Limits(rate=5)}, True),
        (0, {"sandbox": Limits(tenant_rate=5)}, True),
        (3, {"sandbox": Limits(rate=0)}, False),
        (3, {"sandbox": Limits(tenant_rate=0)}, True),
        (0, {"smtp": Limits(rate=5)}, False),
    ],
)
def test_a_plan_records_whether_a_provider_has_a_rate(
    setting: float, limits: dict[str, Limits], has_rate: bool
) -> None:
    pools = {EMAIL: (replace(pooled(), rate=setting),)}
    [endpoint] = sole(kind(["email"]), pools=pools, limits=limits).endpoints
    assert [provider.has_rate for provider in endpoint.providers] == [has_rate]


def test_of_many_devices_the_newest_are_used_and_those_that_were_begun_with() -> None:
    devices = [(f"device-{number}", FCM) for number in range(DEVICES_USED + 5)]
    plan = sole(kind(["push"]), person(devices=devices))
    assert [endpoint.id for endpoint in plan.endpoints] == [id for id, _ in devices[:DEVICES_USED]]
    assert plan.devices_skipped == 5
    begun = {(plan.delivery_id, devices[-1][0]): LastAttempt(number=3, unknown_before=2)}
    again = sole(kind(["push"]), person(devices=devices), last_attempts=begun)
    [first, *others] = again.endpoints
    assert (first.id, first.resume_at, first.unknown_before) == (devices[-1][0], 3, 2)
    assert {(other.resume_at, other.unknown_before) for other in others} == {(1, 0)}
    assert len(again.endpoints) == DEVICES_USED
