"""Models of the rich fields of push, web_push and in_app templates."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from api.schemas.base import Model, max_members
from domain.json_types import Json
from domain.push_content import MAX_ACTIONS, MAX_BADGE, MAX_DATA, is_action_name, is_data_name


def _check_data_name(name: str) -> str:
    if not is_data_name(name):
        raise ValueError("must have 1 to 64 letters, digits, '_', '-' or '.', and not be a name of FCM, APNs or Tocsin")
    return name


def _check_action_name(name: str) -> str:
    if not is_action_name(name):
        raise ValueError("must have 1 to 64 letters, digits, '_', '-' or '.'")
    return name


def _check_unique(actions: "list[PushActionSpec]") -> "list[PushActionSpec]":
    if len({action.action for action in actions}) != len(actions):
        raise ValueError("names an action twice")
    return actions


PushText = Annotated[str, StringConstraints(min_length=1, max_length=4_000)]
Badge = Annotated[int, Field(ge=0, le=MAX_BADGE)]
DataName = Annotated[str, AfterValidator(_check_data_name)]


class PushActionSpec(Model):
    action: Annotated[str, AfterValidator(_check_action_name)]
    title: PushText
    link: PushText | None = None


class PushSpec(Model):
    """Rich fields of a push message. Every text is a template."""

    image: PushText | None = None
    link: PushText | None = None
    actions: Annotated[list[PushActionSpec], Field(max_length=MAX_ACTIONS), AfterValidator(_check_unique)] = []
    badge: Badge | PushText | None = None
    sound: PushText | None = None
    data: Annotated[dict[DataName, PushText], Field(max_length=MAX_DATA), max_members(MAX_DATA)] = {}

    @property
    def stored(self) -> Json | None:
        """The fields that are given; None without one."""
        return self.model_dump(exclude_none=True, exclude_defaults=True) or None
