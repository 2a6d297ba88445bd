"""Test that ids and names are the same wherever and whenever they are made."""

from uuid import UUID

import pytest

from domain.names import (
    MAX_SUMMARY_LENGTH,
    attempt_id,
    delivery_id,
    delivery_queue,
    derived_id,
    route_text,
    run_summary,
    workflow_id,
)

N = UUID("01a2041c-2825-70ac-9106-1b4b468e858e")
OTHER = UUID("01a2041c-2825-70ac-9106-1b4b468e858f")


def test_ids_of_today_are_those_of_tomorrow() -> None:
    """Databases contain them: another namespace or order of parts would send twice after a deploy."""
    delivery = delivery_id(N, 1, 1, "email")
    assert str(delivery) == "6df5a744-6339-5add-9de7-05b8b20f3d56"
    assert str(attempt_id(delivery, "email", 1)) == "d7ce95df-44cb-5806-8aa3-c8d3dda48c8c"


def test_every_part_of_a_delivery_counts() -> None:
    ids = {
        delivery_id(N, 1, 1, "email"),
        delivery_id(OTHER, 1, 1, "email"),
        delivery_id(N, 2, 1, "email"),
        delivery_id(N, 1, 2, "email"),
        delivery_id(N, 1, 1, "sms"),
    }
    assert len(ids) == 5


def test_every_part_of_an_attempt_counts() -> None:
    delivery = delivery_id(N, 1, 1, "push")
    ids = {
        attempt_id(delivery, "phone", 1),
        attempt_id(delivery, "tablet", 1),
        attempt_id(delivery, "phone", 2),
        attempt_id(delivery_id(N, 2, 1, "push"), "phone", 1),
    }
    assert len(ids) == 4


def test_the_same_facts_have_the_same_id_and_others_another() -> None:
    assert derived_id("event", N, 1) == derived_id("event", str(N), "1")
    assert derived_id("event", N, 1) != derived_id("receipt", N, 1)


def test_a_redrive_is_another_workflow_on_the_same_queue() -> None:
    assert workflow_id(N, 1) == f"notification-{N}-1"
    assert workflow_id(N, 2) != workflow_id(N, 1)
    assert delivery_queue("sandbox") == "deliver-sandbox"


@pytest.mark.parametrize(
    ("route", "only", "text"),
    [
        ([["email"]], None, "email"),
        ([["push", "email"], ["sms"]], None, "push + email then sms"),
        ([["push", "email"], ["sms"]], ["sms", "email"], "email then sms"),
        ([["push"], ["sms"]], ["sms"], "sms"),
        ([["push"]], ["sms"], ""),
    ],
)
def test_a_route_is_its_steps_with_the_requested_channels(
    route: list[list[str]], only: list[str] | None, text: str
) -> None:
    assert route_text(route, only) == text


def test_a_summary_is_type_priority_and_channels_as_long_as_temporal_takes() -> None:
    assert run_summary("news", 2, "email then sms") == "news, priority 2, email then sms"
    assert run_summary("news", 2, "") == "news, priority 2"
    assert len(run_summary("n" * 128, 3, "email then " * 50)) == MAX_SUMMARY_LENGTH
