"""Models of templates."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, field_validator

from api.schemas.base import ChannelName, Id, Key, Model, Timestamp
from api.schemas.push import PushSpec
from api.schemas.sms import SmsSpec, SmsView
from domain.channels import Channel
from domain.json_types import Json
from domain.languages import normalize_tag
from rendering.messages import TemplateSource

Language = Annotated[
    str, StringConstraints(max_length=40), AfterValidator(normalize_tag), Field(examples=["en", "fr-BE"])
]
TemplateText = Annotated[str, StringConstraints(max_length=200_000)]
VersionNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]

RICH_CHANNELS = (Channel.PUSH, Channel.WEB_PUSH, Channel.IN_APP)

EXAMPLE: Json = {
    "name": "order-shipped",
    "channel": "email",
    "language": "en",
    "subject_template": "Order {{ order }} is on its way",
    "body_template": "<p>Dear {{ name }}, order {{ order }} is on its way.</p>",
    "variables_schema": {
        "type": "object",
        "required": ["name", "order"],
        "properties": {"name": {"type": "string"}, "order": {"type": "string"}},
    },
    "publish": True,
}


class TemplateBody(Model):
    model_config = {"json_schema_extra": {"examples": [EXAMPLE]}}

    name: Key
    channel: ChannelName
    language: Language
    subject_template: TemplateText | None = None
    body_template: TemplateText
    text_template: TemplateText | None = None
    push: PushSpec | None = None
    variables_schema: Json = {}
    publish: bool = False

    @field_validator("push")
    @classmethod
    def _check_channel(cls, push: PushSpec | None, info: ValidationInfo) -> PushSpec | None:
        if push is not None and info.data.get("channel", Channel.PUSH) not in RICH_CHANNELS:
            raise ValueError(f"is only for {', '.join(RICH_CHANNELS)}")
        return push

    @property
    def stored_push(self) -> Json | None:
        return None if self.push is None else self.push.stored

    @property
    def source(self) -> TemplateSource:
        return TemplateSource(
            subject=self.subject_template,
            body=self.body_template,
            text=self.text_template,
            channel=self.channel,
            push=self.stored_push,
        )

    @property
    def content(self) -> Json:
        """The columns of a version."""
        columns = self.model_dump(include={"subject_template", "body_template", "text_template", "variables_schema"})
        return {**columns, "push": self.stored_push}


class TemplateTarget(Model):
    """The channel and language of the versions."""

    model_config = {"json_schema_extra": {"examples": [{"channel": "email", "language": "en"}]}}

    channel: ChannelName
    language: Language


class TemplateVersionTarget(TemplateTarget):
    model_config = {"json_schema_extra": {"examples": [{"channel": "email", "language": "en", "version": 2}]}}

    version: VersionNumber


class PreviewBody(Model):
    """`version` is by default the published one. `language` is by default that of the recipient, then that of the
    tenant."""

    model_config = {
        "json_schema_extra": {
            "examples": [{"channel": "sms", "payload": {"order": "A-1"}, "sms": {"fold_typography": True}}]
        }
    }

    channel: ChannelName
    language: Language | None = None
    version: VersionNumber | None = None
    payload: Json = {}
    recipient: Json = {}
    sms: SmsSpec | None = None

    @property
    def folds_typography(self) -> bool:
        return self.sms is not None and self.sms.fold_typography


class TemplateResponse(Model):
    """One version. `published_version` is the one in force for the same name, channel and language."""

    id: Id
    name: str
    channel: ChannelName
    language: str
    version: int
    published_version: int | None
    subject_template: str | None
    body_template: str
    text_template: str | None
    push: PushSpec | None
    variables_schema: Json
    created_at: Timestamp
    updated_at: Timestamp


class SavedTemplate(TemplateResponse):
    warnings: list[str]


class PreviewResponse(Model):
    channel: ChannelName
    language: str
    version: int
    content: dict[str, Any]
    sms: SmsView | None
