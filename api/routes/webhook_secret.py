"""The secret that a tenant's receivers verify webhooks with."""

from fastapi import APIRouter, Response

from api.callers import CallerDep
from api.front_door import FrontDoor, scope
from api.parts import PartsDep
from api.schemas.webhooks import WebhookSecret
from providers.webhook import tenant_secret

router = APIRouter(route_class=FrontDoor, tags=["webhooks"])


@router.get("/webhook-secret")
@scope("manage")
async def get_webhook_secret(caller: CallerDep, parts: PartsDep, response: Response) -> WebhookSecret:
    """What your receivers verify webhooks with. It stays the same until the installation's secret key changes."""
    response.headers["Cache-Control"] = "no-store"
    return WebhookSecret(secret=tenant_secret(parts.settings.secret, caller.tenant))
