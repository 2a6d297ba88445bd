"""Test what an audit entry keeps of a change."""

from uuid import uuid4

from domain.audit import MASK, MAX_JSON_LENGTH, Actor, ActorKind, changed_members, mask_values


def test_only_members_that_differ_are_kept() -> None:
    before, after = {"a": 1, "b": 2, "gone": 3}, {"a": 1, "b": 4, "new": 5}
    assert changed_members(before, after) == ({"b": 2, "gone": 3}, {"b": 4, "new": 5})
    assert changed_members({"a": 1}, {"a": 1}) == ({}, {})


def test_a_created_or_removed_value_is_kept_whole() -> None:
    assert changed_members(None, {"a": 1}) == (None, {"a": 1})
    assert changed_members({"a": 1}, None) == ({"a": 1}, None)


def test_secrets_and_personal_data_are_masked_at_any_depth() -> None:
    assert mask_values({"chat_url": "https://hooks.slack.com/services/T1/B1/x"}) == {"chat_url": MASK}
    value = {"list": [{"email": "ada@example.com", "kept": 1}], "secret": "s", "payload": {"x": 1}, "phone": None}
    assert mask_values(value) == {"list": [{"email": MASK, "kept": 1}], "secret": MASK, "payload": MASK, "phone": None}


def test_a_url_is_cut_after_its_host_and_shows_a_change() -> None:
    before, after = {"url": "https://user:pw@hooks.example.com/s3cret?t=1"}, {"url": "https://hooks.example.com/other"}
    assert changed_members(before, after) == (
        {"url": f"https://hooks.example.com/{MASK}"},
        {"url": f"https://hooks.example.com/{MASK}"},
    )
    assert [mask_values({"url": bad})["url"] for bad in ("no url", "https://[")] == [MASK, MASK]


def test_a_large_value_is_replaced_by_its_size() -> None:
    _, after = changed_members(None, {"text": "x" * MAX_JSON_LENGTH})
    assert after == {"omitted": f"{MAX_JSON_LENGTH + 12} characters"}


def test_a_key_of_another_tenant_is_the_installation() -> None:
    own, other = uuid4(), uuid4()
    key = Actor(name="ops", key_id=uuid4(), tenant=own)
    assert (key.kind_for(own), key.kind_for(other)) == (ActorKind.KEY, ActorKind.INSTALLATION)
    assert Actor(name="root").kind_for(own) is ActorKind.CLI
