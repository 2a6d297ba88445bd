"""Test which variables a payload may lack: by inspection, and by a render without them."""

from typing import Any

import pytest

from rendering.messages import Inspection, RenderedContent, RenderFailure
from rendering.renderer import Renderer
from tests.rendering.sources import email, sms

# Every name except `x`, which the templates test.
PAYLOAD: dict[str, Any] = {"yes": True, "no": False, "items": [1], "order": {"id": 7}}

NEEDED = [
    "{{ x }}",
    "{{ x.id }}",
    "{{ x['id'] }}",
    "{{ order[x] }}",
    "{{ x|upper }}",
    "{{ x|upper|default('a') }}",
    "{{ 'a'|default(x) ~ x }}",
    "{{ no|default(x)|string ~ x|string }}",
    "{{ x.id|default('a') }}",
    "{{ x.id is defined }}",
    "{{ x is iterable }}",
    "{{ x is upper }}",
    "{{ x ~ 'a' }}",
    "{{ x or 'a' }}",
    "{{ x == 1 }}",
    "{{ 1 in [x] }}",
    "{{ [x] }}",
    "{{ x() }}",
    "{% if x %}{% endif %}",
    "{% if not x %}{% endif %}",
    "{% if yes and x %}{% endif %}",
    "{% if no or x %}{% endif %}",
    "{% if x is not none %}{{ x }}{% endif %}",
    "{% if x is defined or yes %}{{ x }}{% endif %}",
    "{% if not (x is defined and yes) %}{{ x }}{% endif %}",
    "{% if x is defined %}{% else %}{{ x }}{% endif %}",
    "{% if x is undefined %}{{ x }}{% endif %}",
    "{% if x is defined %}{% endif %}{{ x }}",
    "{% if no %}{% set x = 1 %}{% endif %}{{ x }}",
    "{% if x|default('a') %}{{ x }}{% endif %}",
    "{% if x|default(default_value='a') %}{{ x }}{% endif %}",
    "{{ x if x is not defined else 'a' }}",
    "{{ x is defined or x }}",
    "{% for a in x %}{% endfor %}",
    "{% for a in items if x %}{% endfor %}",
    "{% for a in items %}{{ x }}{% endfor %}",
    "{% for a in [] %}{% else %}{{ x }}{% endfor %}",
    "{% for x in items %}{% endfor %}{{ x }}",
    "{% for a in items %}{% set x = a %}{% endfor %}{{ x }}",
    "{% set y = x %}{{ y }}",
    "{% with y = 1 %}{{ x }}{% endwith %}",
    "{% with x = x %}{{ x }}{% endwith %}",
    "{% with %}{% set x = 1 %}{% endwith %}{{ x }}",
    "{% macro m(a) %}{{ a }}{{ x }}{% endmacro %}{{ m(1) }}",
    "{% macro m(a=x) %}{{ a }}{% endmacro %}{{ m() }}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{{ x }}{% endcall %}",
    "{% filter upper %}{{ x }}{% endfilter %}",
    "{% set y %}{{ x }}{% endset %}",
    "{% block b %}{{ x }}{% endblock %}",
]

# Read on a path that this payload does not take.
NEEDED_ELSEWHERE = [
    "{% if no %}{{ x }}{% endif %}",
    "{{ x if no else 'a' }}",
    "{% for a in [] %}{{ x }}{% endfor %}",
    "{% if yes %}{% set x = 1 %}{% endif %}{{ x }}",
    "{% macro m() %}{{ x }}{% endmacro %}",
]

GUARDED = [
    "{{ x is defined }}",
    "{{ x is undefined }}",
    "{{ x is none }}",
    "{{ x|default('a') }}",
    "{{ x|d('a')|upper }}",
    "{{ x|default(no or 'a') }}",
    "{{ (x|default({})).id|default('a') }}",
    "{% if x is defined %}{{ x }}{{ x.id }}{% endif %}",
    "{% if x is not defined %}{% else %}{{ x }}{% endif %}",
    "{% if not x is defined %}{% elif yes %}{{ x }}{% else %}{{ x }}{% endif %}",
    "{% if x is defined %}{% if x %}{{ x }}{% endif %}{% endif %}",
    "{% if x is defined and x %}{{ x }}{% endif %}",
    "{% if x is defined and x.id is defined %}{{ x.id }}{% endif %}",
    "{% if yes and x is defined %}{{ x }}{% endif %}",
    "{% if x is undefined or x == 1 %}{% else %}{{ x }}{% endif %}",
    "{% if not (x is undefined or no) %}{{ x }}{% endif %}",
    "{% if x is defined and yes or x is defined and no %}{{ x }}{% endif %}",
    "{% if x is defined and yes %}{% elif x is defined %}{{ x }}{% endif %}",
    "{% if x is string %}{{ x }}{% endif %}",
    "{% if x is mapping %}{{ x.id }}{% elif x is number %}{{ x }}{% endif %}",
    "{% if x|default %}{{ x }}{% endif %}",
    "{% if x|default('') %}{{ x }}{% endif %}",
    "{% if x|default([]) and yes %}{{ x }}{% endif %}",
    "{% if x|default(default_value=none) %}{{ x }}{% endif %}",
    "{{ x if x is defined else 'a' }}",
    "{{ 'a' if x is undefined else x }}",
    "{{ x is defined and x }}",
    "{% set x = 1 %}{{ x }}",
    "{% set x = x|default('a') %}{{ x }}",
    "{% set x, y = 1, 2 %}{{ x }}",
    "{% set x %}a{% endset %}{{ x }}",
    "{% if x is undefined %}{% set x = 1 %}{% endif %}{{ x }}",
    "{% if yes %}{% set x = 1 %}{% else %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% for x in items %}{{ x }}{% endfor %}",
    "{% for a, x in [[1, 2]] %}{{ x }}{% endfor %}",
    "{% for a in x|default([]) %}{{ a }}{% endfor %}",
    "{% for a in items if x is defined %}{{ x }}{% endfor %}",
    "{% with x = 1 %}{{ x }}{% endwith %}",
    "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(1) }}",
    "{% macro m() %}{{ caller(1) }}{% endmacro %}{% call(x) m() %}{{ x }}{% endcall %}",
    "{% macro x() %}a{% endmacro %}{{ x() }}",
    "{% if x is defined %}{% for a in items %}{% filter upper %}{{ x }}{% endfilter %}{% endfor %}{% endif %}",
    "{% set n = namespace(x=1) %}{% set n.x = 2 %}{{ n.x }}",
]


async def needs(renderer: Renderer, body: str) -> bool:
    seen = await renderer.inspect(sms(body))
    assert isinstance(seen, Inspection)
    assert seen.needed <= seen.variables
    return "x" in seen.needed


@pytest.mark.parametrize("body", NEEDED)
async def test_a_variable_read_without_a_condition_is_required(renderer: Renderer, body: str) -> None:
    assert await needs(renderer, body)
    assert isinstance(await renderer.render(sms(body), PAYLOAD, "en"), RenderFailure)


@pytest.mark.parametrize("body", NEEDED_ELSEWHERE)
async def test_a_variable_read_conditionally_is_required(renderer: Renderer, body: str) -> None:
    assert await needs(renderer, body)


@pytest.mark.parametrize("body", GUARDED)
async def test_a_variable_tested_before_use_is_not_required(renderer: Renderer, body: str) -> None:
    assert not await needs(renderer, body)
    assert isinstance(await renderer.render(sms(body), PAYLOAD, "en"), RenderedContent)


async def test_a_guard_holds_in_its_own_part_only(renderer: Renderer) -> None:
    guarded = "{% if x is defined %}{{ x }}{% endif %}"
    for source in (
        email(guarded, subject="{{ x }}"),
        email(guarded, text="{{ x }}"),
        email("{{ x }}", subject=guarded),
    ):
        seen = await renderer.inspect(source)
        assert isinstance(seen, Inspection)
        assert seen.needed == {"x"}


async def test_a_builtin_name_is_no_variable(renderer: Renderer) -> None:
    seen = await renderer.inspect(sms("{{ locale }}{% for a in range(2) %}{{ loop.index }}{% endfor %}"))
    assert seen == Inspection(variables=set(), needed=set())


async def test_a_long_template_with_many_guards_is_inspected(renderer: Renderer) -> None:
    lines = "".join(
        f"{{% set a{n} = x{n}|d %}}{{% if b{n} is defined %}}{{{{ a{n} }}}}{{% endif %}}" for n in range(200)
    )
    seen = await renderer.inspect(sms(lines))
    assert isinstance(seen, Inspection)
    assert (len(seen.variables), seen.needed) == (400, set())
