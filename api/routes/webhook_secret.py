"""Route of the secret that receivers of a tenant's webhooks verify them with."""

from fastapi import APIRouter, Response

from api.authenticated_route import AuthenticatedRoute, scope
from api.callers import CallerDep
from api.container import ContainerDep
from api.schemas.webhooks import WebhookSecret
from providers.webhook import derive_tenant_secret

router = APIRouter(route_class=AuthenticatedRoute, tags=["webhooks"])


@router.get("/webhook-secret")
@scope("manage")
async def get_webhook_secret(caller: CallerDep, container: ContainerDep, response: Response) -> WebhookSecret:
    """Return the secret that verifies webhooks. It changes only with the secret key of the installation."""
    response.headers["Cache-Control"] = "no-store"
    return WebhookSecret(secret=derive_tenant_secret(container.settings.secret, caller.tenant))
