"""Routes of a recipient's devices: phones and browsers, registered by the application that runs on them."""

from fastapi import APIRouter, Response

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.openapi import problem_responses
from api.problems import conflict, not_found
from api.schemas.contact import DeviceName, RecipientId
from api.schemas.devices import DeviceRegistration, DeviceView, WebPushKey, address_of, token_ending_of
from domain.stored_limits import MAX_DEVICES
from domain.validation_issues import raise_issues
from metrics.engine import ReachedLimit, count_limit_reached
from providers.web_push.adapter import WebPush
from services.contact_rules import ContactRules
from storage import devices
from storage.devices import NewDevice, RegisteredDevice

router = APIRouter(route_class=AuthenticatedRoute, tags=["recipients"])


@router.put(
    "/recipients/{recipient_id}/devices/{device}",
    responses={201: {"model": DeviceView, "description": "Created"}, **problem_responses(409)},
)
@scope("manage")
async def put_device(
    recipient_id: RecipientId,
    device: DeviceName,
    registration: DeviceRegistration,
    caller: CallerDep,
    container: ContainerDep,
    response: Response,
) -> DeviceView:
    """Register a device and move its token from any other device. The latest 20 of at most 100 are used."""
    if registration.subscription is not None:
        rules = ContactRules.of(container.settings, caller)
        raise_issues(rules.find_url_issues(registration.subscription.endpoint, "subscription", "endpoint"))
    new = NewDevice(device=device, kind=registration.kind, address=address_of(registration), locale=registration.locale)
    async with container.database.transaction() as session:
        try:
            saved = await devices.save(session, caller.tenant, recipient_id, new)
        except devices.TooManyDevices:
            count_limit_reached(ReachedLimit.DEVICES_STORED)
            raise conflict(f"A recipient can have at most {MAX_DEVICES} devices.") from None
    if saved is None:
        raise not_found("There is no such recipient.")
    response.status_code = 201 if saved[1] else 200
    return device_view(saved[0])


@router.delete("/recipients/{recipient_id}/devices/{device}", status_code=204)
@scope("manage")
async def delete_device(
    recipient_id: RecipientId, device: DeviceName, caller: CallerDep, container: ContainerDep
) -> None:
    """Delete a device. It receives no further messages."""
    async with container.database.transaction() as session:
        removed = await devices.remove(session, caller.tenant, recipient_id, device)
    if not removed:
        raise not_found("There is no such device.")


@router.get("/web-push-key", responses=problem_responses(404))
@scope("read")
async def get_web_push_key(container: ContainerDep) -> WebPushKey:
    """Return the public key with which browsers subscribe. 404 if web_push is not in the pool."""
    provider = container.providers.get(WebPush.name)
    if not isinstance(provider, WebPush):
        raise not_found("The provider web_push is not in TOCSIN_WEB_PUSH_PROVIDERS.")
    return WebPushKey(public_key=provider.public_key)


def device_view(device: RegisteredDevice) -> DeviceView:
    return DeviceView(
        device=device.device,
        kind=device.kind,
        locale=device.locale,
        token_ends=token_ending_of(device.address),
        created_at=device.created_at,
        updated_at=device.updated_at,
    )
