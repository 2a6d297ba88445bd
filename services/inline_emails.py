"""Accept an email whose content is in the send: a built-in type and template pass it on. The tenant gets both with its
first such send, and may change the type like any other."""

from uuid import UUID

from domain.channels import Channel
from domain.json_types import Json
from domain.names import FLUSH_CHANNEL, derived_id
from storage import notification_types, templates
from storage.catalog import Catalog
from storage.database import Database
from storage.statements import notify
from storage.templates import TemplateKey

INLINE_TYPE = "tocsin.email"
TYPE_SPEC: Json = {
    "key": INLINE_TYPE,
    "description": "Emails whose content is in the send",
    "route": [{"channels": [Channel.EMAIL]}],
    "templates": {Channel.EMAIL: INLINE_TYPE},
}
# The HTML is the sender's own. A URL that a variable brings must still be one of the allowed schemes.
TEMPLATE: Json = {
    "subject_template": "{{ subject }}",
    "body_template": "{{ html|default('')|safe }}",
    "text_template": "{{ text if text is defined else html|plain_text }}",
    "variables_schema": {
        "type": "object",
        "required": ["subject"],
        "properties": {name: {"type": "string"} for name in ("subject", "html", "text")},
    },
}


def inline_recipient_id(email: str) -> str:
    """Return the id of the recipient with this address. It is the same for each email to the address."""
    return f"email-{derived_id('inline email', email.lower())}"


async def ensure_inline_type(database: Database, catalog: Catalog, tenant: UUID, language: str) -> None:
    """Create the type and its template in the tenant's default language, unless they exist."""
    if await catalog.current_type(tenant, INLINE_TYPE) is None or not await catalog.published(
        tenant, INLINE_TYPE, Channel.EMAIL, [language]
    ):
        await _create(database, tenant, language)
        catalog.flush()


async def _create(database: Database, tenant: UUID, language: str) -> None:
    template_key = TemplateKey(tenant=tenant, name=INLINE_TYPE, channel=Channel.EMAIL, language=language)
    async with database.transaction() as session:
        await templates.lock_key(session, template_key)
        history = await templates.list_publications(session, tenant, INLINE_TYPE)
        if templates.find_in_force(history, Channel.EMAIL, language) is None:
            row = await templates.add_version(session, template_key, TEMPLATE)
            await templates.publish_version(session, template_key, row)
        if await notification_types.find_current(session, tenant, INLINE_TYPE) is None:
            await notification_types.put(session, tenant, INLINE_TYPE, TYPE_SPEC)
        await notify(session, FLUSH_CHANNEL)
