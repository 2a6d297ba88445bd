"""`render_messages`: each channel of a step in the person's language, stored as deliveries.

`resolve_preferences` renders the steps that start at once in the same way.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from temporalio import activity

from domain.languages import chain
from domain.messages import ChannelPlan, RenderInput, RenderResult, ResolveInput, StepPlan
from domain.notification_types import NotificationType, TemplatePolicy
from domain.reasons import Reason, because
from domain.stored_limits import ENDPOINTS_AT_ONCE
from domain.templates import TemplateVersion
from metrics.engine import Limit, limit_reached
from rendering.messages import RenderFailure, TemplateSource
from rendering.renderer import Renderer
from storage.audiences import Words, read_words
from storage.catalog import Catalog
from storage.database import Database
from storage.deliveries import NewDelivery, insert_deliveries
from storage.sealing import Json


class Composition:
    def __init__(self, database: Database, catalog: Catalog, renderer: Renderer) -> None:
        self._database = database
        self._catalog = catalog
        self._renderer = renderer

    @activity.defn
    async def render_messages(self, start: RenderInput) -> RenderResult:
        """One read, one write."""
        async with self._database.transaction() as session:
            words = await read_words(session, start.notification_id, start.tenant)
        kind = await self._catalog.type_by_id(start.tenant, words.type_id)
        return await self.compose(start, kind, words, (start.step,))

    async def compose(
        self,
        start: RenderInput | ResolveInput,
        kind: NotificationType,
        words: Words,
        steps: Sequence[StepPlan],
        skipped: Sequence[NewDelivery] = (),
    ) -> RenderResult:
        """Render every channel of `steps` and write them with the `skipped` ones in one statement. A template that
        fails is a value, not an error: it would fail again."""
        channels = [(step.number, channel) for step in steps for channel in step.channels]
        drafts = await asyncio.gather(
            *(self.draft(start.tenant, kind, words, number, channel) for number, channel in channels)
        )
        items = [*skipped, *_limited([delivery for delivery, _ in drafts])]
        key = (start.notification_id, start.tenant, start.generation)
        async with self._database.statement() as session:
            open_ = await insert_deliveries(session, *key, items, queued_for=queued_for(steps))
        if open_:
            _count_limits(items)
        failures: dict[UUID, Reason | str] = {delivery.id: why for delivery, why in drafts if why is not None}
        return RenderResult(failures=failures, closed=not open_)

    async def draft(
        self, tenant: UUID, kind: NotificationType, words: Words, step: int, plan: ChannelPlan
    ) -> tuple[NewDelivery, Reason | None]:
        """Render one channel, and write nothing. Return its delivery, and why it cannot be rendered."""
        languages = chain(words.locale, words.default_language)
        as_of = words.created_at if kind.template_policy is TemplatePolicy.PINNED else None
        name = kind.templates[plan.channel]
        template = await self._catalog.published(tenant, name, plan.channel, languages, as_of)
        if template is None:
            return _delivery(step, plan, None, None), Reason("no_template")
        variables = {**words.payload, **_alone(kind, words), "recipient": words.recipient}
        locale = words.locale or template.language
        result = await self._renderer.render(source_of(template), variables, locale, tenant=tenant)
        if isinstance(result, RenderFailure):
            return _delivery(step, plan, template, None), _reason(result)
        return _delivery(step, plan, template, result.content), None


def _limited(items: Sequence[NewDelivery]) -> Sequence[NewDelivery]:
    """Mark those to several devices if more calls would begin at once than one notification may have under way."""
    if sum(item.devices for item in items) <= ENDPOINTS_AT_ONCE:
        return items
    return [replace(item, calls_limited=item.devices > 1) for item in items]


def _count_limits(items: Sequence[NewDelivery]) -> None:
    for item in items:
        if item.devices_skipped:
            limit_reached(Limit.DEVICES_USED)
        if item.calls_limited:
            limit_reached(Limit.ENDPOINT_CALLS)


def queued_for(steps: Sequence[StepPlan]) -> str | None:
    """The provider whose rate their first calls wait for; None if some call is made at once."""
    providers = [each.providers[0] for step in steps for channel in step.channels for each in channel.endpoints]
    if not providers or not all(provider.has_rate for provider in providers):
        return None
    return providers[0].name


def _alone(kind: NotificationType, words: Words) -> Json:
    """One that went out by itself, of a type that is collected, shows itself to the same template."""
    return {"items": [words.payload], "total": 1} if kind.timing.digest is not None and not words.digest else {}


def source_of(template: TemplateVersion) -> TemplateSource:
    return TemplateSource(
        subject=template.subject_template,
        body=template.body_template,
        text=template.text_template,
        channel=template.channel,
    )


def _reason(failure: RenderFailure) -> Reason:
    where = f" in {failure.part}" if failure.part else ""
    line = f", line {failure.line}" if failure.line else ""
    return because("template_error", f"{failure.reason}{where}{line}")


def _delivery(step: int, plan: ChannelPlan, template: TemplateVersion | None, content: Json | None) -> NewDelivery:
    return NewDelivery(
        id=plan.delivery_id,
        step=step,
        channel=plan.channel,
        rule=plan.rule,
        template=template,
        content=content,
        devices=len(plan.endpoints),
        devices_skipped=plan.devices_skipped,
    )
