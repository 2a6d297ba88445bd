"""Models of the options of an email: mailboxes, copies, headers and attachments."""

import re
from typing import Annotated, Self
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from api.schemas.base import Id, Model, max_members
from api.schemas.contact import Email, ascii_email
from domain.email_options import HEADER_LIMIT, is_header_allowed
from domain.json_types import Json

MAX_COPIES = 20
MAX_ATTACHMENTS = 10
HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,76}")
HEADER_VALUE = r"^[!-~]([ -~]{0,898}[!-~])?$"


def _to_ascii(value: str) -> str:
    found = ascii_email(value)
    if found is None:
        raise ValueError("must have only ASCII characters before the @")
    return found


def _check_unique(values: list[str]) -> list[str]:
    if len({value.lower() for value in values}) != len(values):
        raise ValueError("must not repeat an address")
    return values


def _check_unique_ids(values: list[UUID]) -> list[UUID]:
    if len(set(values)) != len(values):
        raise ValueError("must not repeat an attachment")
    return values


def _check_header_name(name: str) -> str:
    if not HEADER_NAME.fullmatch(name) or not is_header_allowed(name):
        raise ValueError("is not a header that a send may set; docs/email.md lists them")
    return name


AsciiEmail = Annotated[Email, AfterValidator(_to_ascii)]
Copies = Annotated[list[AsciiEmail], Field(max_length=MAX_COPIES), AfterValidator(_check_unique)]
HeaderName = Annotated[str, AfterValidator(_check_header_name)]
HeaderValue = Annotated[str, StringConstraints(pattern=HEADER_VALUE)]


class MailboxBody(Model):
    email: AsciiEmail
    name: Annotated[
        str, Field(max_length=100, pattern=r"^[^\x00-\x1f\x7f\u0085\u2028\u2029]*$", examples=["Orders"])
    ] = ""


class InlineEmail(Model):
    """An email whose content is in the send, to an address without a stored recipient. At least one of `html` and
    `text` is required; by default the text is derived from the HTML."""

    to: Email
    subject: Annotated[str, Field(min_length=1, max_length=998)]
    html: Annotated[str | None, Field(min_length=1)] = None
    text: Annotated[str | None, Field(min_length=1)] = None

    @model_validator(mode="after")
    def _check_content(self) -> Self:
        if self.html is None and self.text is None:
            raise ValueError("needs html or text")
        return self

    @property
    def payload(self) -> Json:
        return self.model_dump(mode="json", exclude={"to"}, exclude_none=True)


class EmailBody(Model):
    reply_to: MailboxBody | None = None
    cc: Copies = []
    bcc: Copies = []
    headers: Annotated[dict[HeaderName, HeaderValue], Field(max_length=HEADER_LIMIT), max_members(HEADER_LIMIT)] = {}
    attachments: Annotated[list[Id], Field(max_length=MAX_ATTACHMENTS), AfterValidator(_check_unique_ids)] = []
