"""Model of the secret that verifies a tenant's webhooks."""

from typing import Annotated

from pydantic import Field

from api.schemas.base import Model

EXAMPLE = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


class WebhookSecret(Model):
    secret: Annotated[
        str, Field(description="`whsec_` and base64, the format of Standard Webhooks.", examples=[EXAMPLE])
    ]
