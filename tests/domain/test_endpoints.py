"""Test the endpoints of a channel: its devices, and the order, guarantee and rate of the providers of each."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.channels import Channel, DeviceKind
from domain.circuits import CircuitHealth
from domain.notification_types import Guarantee
from domain.rates import ProviderRateLimits
from domain.reasons import Reason
from domain.routing import LastAttempt
from domain.stored_limits import MAX_DEVICES_PER_CHANNEL
from tests.domain.channel_plans import person, pooled, sole, why_not
from tests.domain.sample_types import sample_type

EMAIL, PUSH = Channel.EMAIL, Channel.PUSH
FCM, APNS = DeviceKind.FCM, DeviceKind.APNS
NOW = datetime(2026, 1, 1, tzinfo=UTC)


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
