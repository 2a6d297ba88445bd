"""Render each channel of a step in the recipient's language and store the deliveries. Used by the activities
`resolve_preferences` (steps that start immediately) and `render_messages` (later steps), and by predictions."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from domain.channels import Channel
from domain.json_types import Json
from domain.messages import ChannelPlan, Endpoint, RenderInput, RenderResult, ResolveInput, StepPlan
from domain.notification_types import NotificationType, TemplatePolicy
from domain.reasons import Reason, reason_with_cause
from domain.sms_segments import MAX_SEGMENTS
from domain.stored_limits import MAX_CONCURRENT_CALLS
from domain.templates import TemplateVersion
from domain.translations import device_languages, with_translations
from metrics.engine import ReachedLimit, count_limit_reached
from rendering.messages import RenderedContent, RenderFailure, TemplateSource
from rendering.renderer import Renderer
from storage.catalog import Catalog
from storage.database import Database
from storage.deliveries import NewDelivery, insert_deliveries
from storage.preferences import TemplateContext, read_template_context


@dataclass(frozen=True, slots=True)
class ChannelRender:
    """Hold what the renders of one channel in all languages share."""

    tenant: UUID
    notification_type: NotificationType
    template_context: TemplateContext
    channel: Channel

    @property
    def as_of(self) -> datetime | None:
        is_pinned = self.notification_type.template_policy is TemplatePolicy.PINNED
        return self.template_context.created_at if is_pinned else None

    @property
    def variables(self) -> Json:
        return {
            **self.template_context.payload,
            **_single_item_variables(self.notification_type, self.template_context),
            "recipient": self.template_context.recipient,
        }


class DeliveryRenderer:
    def __init__(self, database: Database, catalog: Catalog, renderer: Renderer) -> None:
        self._database = database
        self._catalog = catalog
        self._renderer = renderer

    async def render_step(self, start: RenderInput) -> RenderResult:
        """Render one step with one read and one write."""
        async with self._database.transaction() as session:
            template_context = await read_template_context(session, start.notification_id, start.tenant)
        notification_type = await self._catalog.type_by_id(start.tenant, template_context.type_id)
        return await self.render_steps(start, notification_type, template_context, (start.step,))

    async def render_steps(
        self,
        start: RenderInput | ResolveInput,
        notification_type: NotificationType,
        template_context: TemplateContext,
        steps: Sequence[StepPlan],
        skipped: Sequence[NewDelivery] = (),
    ) -> RenderResult:
        """Render every channel of `steps` and write them with the `skipped` ones in one statement. A template error
        is a value: a retry would fail again."""
        channels = [(step.number, channel) for step in steps for channel in step.channels]
        drafts = await asyncio.gather(
            *(
                self.draft_delivery(start.tenant, notification_type, template_context, number, channel)
                for number, channel in channels
            )
        )
        items = [*skipped, *_mark_limited_calls([delivery for delivery, _ in drafts])]
        key = (start.notification_id, start.tenant, start.generation)
        async with self._database.statement() as session:
            is_open = await insert_deliveries(session, *key, items, queued_provider=rate_limited_provider(steps))
        if is_open:
            _count_limits(items)
        failures = {delivery.id: why for delivery, why in drafts if why is not None}
        return RenderResult(failures=failures, is_closed=not is_open)

    async def draft_delivery(
        self,
        tenant: UUID,
        notification_type: NotificationType,
        template_context: TemplateContext,
        step: int,
        plan: ChannelPlan,
    ) -> tuple[NewDelivery, Reason | None]:
        """Render one channel without a write. Return the delivery, and why it cannot be rendered."""
        render = ChannelRender(tenant, notification_type, template_context, plan.channel)
        template = await self._find_template(render, template_context.languages)
        if template is None:
            return _new_delivery(render, step, plan, None, None), Reason("no_template")
        result = await self._render_template(render, template, template_context.locale or template.language)
        if isinstance(result, RenderFailure):
            return _new_delivery(render, step, plan, template, None), _failure_reason(result)
        translations = await self._render_translations(render, template, plan.endpoints)
        if isinstance(translations, RenderFailure):
            return _new_delivery(render, step, plan, template, None), _failure_reason(translations)
        return _new_delivery(render, step, plan, template, with_translations(result.content, translations)), None

    async def _render_translations(
        self, render: ChannelRender, main: TemplateVersion, endpoints: Sequence[Endpoint]
    ) -> Json | RenderFailure:
        """Render the languages of devices with their own locale, each once. None is rendered for a device whose
        language the template does not have."""
        translations: Json = {}
        for locale in dict.fromkeys(endpoint.locale for endpoint in endpoints if endpoint.locale):
            template = await self._find_template(render, device_languages(locale))
            if template is None or template.language in (main.language, *translations):
                continue
            result = await self._render_template(render, template, template.language)
            if isinstance(result, RenderFailure):
                return result
            translations[template.language] = result.content
        return translations

    async def _find_template(self, render: ChannelRender, languages: Sequence[str]) -> TemplateVersion | None:
        name, as_of = render.notification_type.templates[render.channel], render.as_of
        return await self._catalog.published(render.tenant, name, render.channel, languages, as_of)

    async def _render_template(
        self, render: ChannelRender, template: TemplateVersion, locale: str
    ) -> RenderedContent | RenderFailure:
        source = template_source_of(template, fold_typography=render.notification_type.sms.fold_typography)
        return await self._renderer.render(source, render.variables, locale, tenant=render.tenant)


def _mark_limited_calls(items: Sequence[NewDelivery]) -> Sequence[NewDelivery]:
    """Mark deliveries to several devices if more calls would start at once than one notification may have in
    progress."""
    if sum(item.devices for item in items) <= MAX_CONCURRENT_CALLS:
        return items
    return [replace(item, calls_limited=item.devices > 1) for item in items]


def _count_limits(items: Sequence[NewDelivery]) -> None:
    for item in items:
        if item.devices_skipped:
            count_limit_reached(ReachedLimit.DEVICES_USED)
        if item.calls_limited:
            count_limit_reached(ReachedLimit.ENDPOINT_CALLS)


def rate_limited_provider(steps: Sequence[StepPlan]) -> str | None:
    """Return the provider whose rate all first calls wait for, or None if any call can start at once."""
    providers = [endpoint.providers[0] for step in steps for channel in step.channels for endpoint in channel.endpoints]
    if not providers or not all(provider.has_rate for provider in providers):
        return None
    return providers[0].name


def _single_item_variables(notification_type: NotificationType, template_context: TemplateContext) -> Json:
    """Return the variables of a digest with one item, for an item that is sent alone with the same template."""
    return (
        {"items": [template_context.payload], "total": 1}
        if notification_type.timing.digest is not None and not template_context.digest
        else {}
    )


def template_source_of(template: TemplateVersion, *, fold_typography: bool) -> TemplateSource:
    return TemplateSource(
        subject=template.subject_template,
        body=template.body_template,
        text=template.text_template,
        channel=template.channel,
        fold_typography=fold_typography,
        push=template.push,
    )


def _failure_reason(failure: RenderFailure) -> Reason:
    if failure.sms_segments is not None:
        return Reason("sms_too_long", {"segments": failure.sms_segments, "limit": MAX_SEGMENTS})
    where = f" in {failure.part}" if failure.part else ""
    line = f", line {failure.line}" if failure.line else ""
    return reason_with_cause("template_error", f"{failure.reason}{where}{line}")


def _new_delivery(
    render: ChannelRender, step: int, plan: ChannelPlan, template: TemplateVersion | None, content: Json | None
) -> NewDelivery:
    return NewDelivery(
        id=plan.delivery_id,
        step=step,
        channel=plan.channel,
        rule=plan.rule,
        template=template,
        content=content,
        chat_room=render.notification_type.room_of(plan.channel),
        devices=len(plan.endpoints),
        devices_skipped=plan.devices_skipped,
    )
