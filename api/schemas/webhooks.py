"""What receivers of a tenant's webhooks need to know."""

from typing import Annotated

from pydantic import Field

from api.schemas.base import Model

EXAMPLE = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


class WebhookSecret(Model):
    secret: Annotated[str, Field(description="`whsec_` and base64, as Standard Webhooks writes it", examples=[EXAMPLE])]
