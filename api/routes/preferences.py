"""Routes of a recipient's preferences. They apply when a message is sent, not when the send is accepted."""

from uuid import UUID

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.problems import not_found
from api.schemas.contact import RecipientId
from api.schemas.preferences import (
    PreferenceChanges,
    PreferencesBody,
    PreferencesView,
    SavedPreferences,
    validate_merged,
)
from domain.json_types import Json, apply_merge_patch
from storage import preferences, reconsiderations
from storage.notification_types import find_unknown_names
from storage.preferences import StoredPreferences

router = APIRouter(route_class=AuthenticatedRoute, tags=["preferences"])

PATH = "/recipients/{recipient_id}/preferences"


@router.get(PATH)
@scope("read")
async def get_preferences(recipient_id: RecipientId, caller: CallerDep, container: ContainerDep) -> PreferencesView:
    """Return the stored preferences. Values that the recipient did not set are absent."""
    async with container.database.transaction() as session:
        return _view(await preferences.find(session, caller.tenant, recipient_id))


@router.put(PATH, response_model_exclude_unset=True)
@scope("manage")
async def put_preferences(
    recipient_id: RecipientId, wanted: PreferencesBody, caller: CallerDep, container: ContainerDep
) -> SavedPreferences:
    """Replace all preferences. Waiting notifications use them too."""
    async with container.database.transaction() as session:
        before = await preferences.find(session, caller.tenant, recipient_id, lock=True)
        return await _save(session, caller.tenant, recipient_id, before, wanted)


@router.patch(PATH, response_model_exclude_unset=True)
@scope("manage")
async def patch_preferences(
    recipient_id: RecipientId, changes: PreferenceChanges, caller: CallerDep, container: ContainerDep
) -> SavedPreferences:
    """Merge preferences (RFC 7396) at every depth: absent members stay, null removes."""
    async with container.database.transaction() as session:
        known = await preferences.find(session, caller.tenant, recipient_id, lock=True)
        before = _view(known).model_dump(mode="json", exclude={"updated_at"})
        wanted = validate_merged(apply_merge_patch(before, changes.model_dump(mode="json", exclude_unset=True)))
        return await _save(session, caller.tenant, recipient_id, known, wanted)


async def _save(
    session: AsyncSession, tenant: UUID, recipient_id: str, before: StoredPreferences | None, wanted: PreferencesBody
) -> SavedPreferences:
    """Save the preferences. If they changed, waiting notifications check them again. Queue entries are locked last, in
    the order that deliveries use."""
    saved = await preferences.save(session, tenant, recipient_id, **_columns(wanted))
    if before is None or saved is None or before.differs_from(saved):
        await reconsiderations.reconsider(session, tenant, recipient_id)
    view = _view(saved)
    unknown = await find_unknown_names(session, tenant, view.type_channel_preferences)
    warnings = [f"/type_channel_preferences/{name}: no notification type or category has this name" for name in unknown]
    return SavedPreferences.model_validate(view.model_dump() | ({"warnings": warnings} if warnings else {}))


def _columns(wanted: PreferencesBody) -> Json:
    values = wanted.model_dump(mode="json", exclude_none=True)
    return {
        "channels": values["global_channel_opt_in"],
        "types": values["type_channel_preferences"],
        "quiet_hours": values.get("quiet_hours"),
    }


def _view(choices: StoredPreferences | None) -> PreferencesView:
    if choices is None:
        raise not_found("There is no such recipient.")
    return PreferencesView.model_validate(
        {
            "global_channel_opt_in": choices.channels,
            "type_channel_preferences": choices.types,
            "quiet_hours": choices.quiet_hours,
            "updated_at": choices.updated_at,
        }
    )
