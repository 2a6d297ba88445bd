"""Models of attachments."""

from typing import Annotated

from fastapi import Query
from pydantic import Field

from api.schemas.base import Id, Model, Timestamp
from domain.attachments import MAX_NAME_BYTES

AttachmentName = Annotated[
    str,
    Query(
        min_length=1,
        max_length=MAX_NAME_BYTES,
        description="Name of the file with its extension, as recipients see it. Programs and pages are refused.",
        examples=["invoice.pdf"],
    ),
]


class AttachmentView(Model):
    """An uploaded file. The content is not returned."""

    id: Id
    name: Annotated[str, Field(examples=["invoice.pdf"])]
    content_type: Annotated[str, Field(examples=["application/pdf"])]
    size: int
    sha256: str
    created_at: Timestamp
    expires_at: Timestamp
