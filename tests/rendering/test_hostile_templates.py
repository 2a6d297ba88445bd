import asyncio
import time
from uuid import uuid4

import pytest

from rendering.messages import Inspection, RenderedContent, RenderFailure
from rendering.renderer import Renderer
from tests.rendering.sources import email, sms

SLOW = "took longer than 1 s"
MEMORY = "needed more than 256 MiB"
LARGE = "a number or range is too large"
LONG = "output larger than 1 MiB"
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"

ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ ''['__class__'] }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ joiner.__init__.__globals__.os }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ self.__init__.__globals__ }}",
    "{{ ''|attr('__class__') }}",
    "{{ ['']|map(attribute='__class__')|list }}",
    "{{ ['']|map('attr', '__class__')|list }}",
    "{{ ['', 'a']|sort(attribute='__class__') }}",
    "{{ ['', 'a']|groupby('__class__') }}",
    "{{ ''.format(1) }}",
    "{{ '{0.__class__}'.format(1) }}",
    "{{ '{a.__class__}'.format_map({'a': 1}) }}",
    "{{ 'x'['format'] }}",
    "{{ ['{0.__class__}']|map(attribute='format')|list }}",
    "{{ (''|e).__html__.__globals__ }}",
    "{{ range.__self__ }}",
    "{{ range.__globals__ }}",
    "{% macro m() %}{% endmacro %}{{ m.__init__ }}{{ m._func }}",
    "{% macro m() %}{% endmacro %}{{ m._environment }}",
    "{% for a in [1] %}{{ loop.__class__ }}{% endfor %}",
    "{{ ([1]|map('string')).gi_frame }}",
    "{{ [].append(1) }}",
    "{{ {}.update({'a': 1}) }}",
    "{{ 1 .to_bytes(9) }}",
    "{{ 'a'.ljust(99) }}{{ 'a'.encode() }}",
    "{{ lipsum.__globals__ }}",
]

ATTACKS = [
    (ENDLESS, {SLOW}),
    ("{{ 'a'*10**9 }}", {"repetition longer than 100000"}),
    ("{{ [0]*10**9 }}", {"repetition longer than 100000"}),
    ("{{ 10**9*'a' }}", {"repetition longer than 100000"}),
    ("{{ 10**(10**8) }}", {LARGE}),
    ("{{ 10**100000000 }}", {LARGE}),
    ("{{ 9**9**9**9**9 }}", {LARGE}),
    ("{% set ns = namespace(n=9) %}{% for a in range(99) %}{% set ns.n = ns.n * ns.n %}{% endfor %}", {LARGE}),
    ("{{ range(10**9)|list }}", {LARGE}),
    ("{{ 2.0 ** 99999 }}", {LARGE}),
    ("{{ '%1000000000d' % 1 }}", {"% formatting is not available"}),
    ("{{ '%1000000000d'|format(1) }}", {"syntax error: no filter named 'format'"}),
    ("{{ '{:>1000000000}'.format(1) }}", {"an attribute, method or function that templates may not use"}),
    ("{% set ns = namespace(x='aaaa') %}{% for a in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
     {MEMORY, SLOW}),
    ("{% set ns = namespace(x='aaaa') %}{% for a in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
     {MEMORY, SLOW}),
    ("{% set ns = namespace(x=[1]) %}{% for a in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
     {MEMORY, SLOW, "nested too deeply"}),
    ("{% set s = 'a' * 99999 %}{{ (s|list * 1)|join(s) }}", {MEMORY}),
    ("{{ ('a' * 99999).replace('a', 'a' * 99999) }}", {MEMORY}),
    ("{{ [1]|batch(1000000000, 0)|list }}", {MEMORY}),
    ("{{ 1|round(-1000000000) }}", {SLOW}),
    ("{{ [1]|tojson(indent=1000000000) }}", {MEMORY}),
    ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", {"nested too deeply"}),
    ("{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}", {SLOW}),
    ("{% for a in range(99999) %}0123456789012345678901234567890123456789{% endfor %}", {LONG}),
    ("{% set s = 'é' * 60000 %}{% for a in range(10) %}{{ s }}{% endfor %}", {LONG}),
]  # fmt: skip


async def can_render(renderer: Renderer) -> bool:
    return await renderer.render(sms("fine {{ a }}"), {"a": 1}, "en") == RenderedContent(content={"text": "fine 1"})


@pytest.mark.parametrize("body", ESCAPES)
async def test_known_escapes_fail(renderer: Renderer, body: str) -> None:
    assert isinstance(await renderer.render(sms(body), {}, "en"), RenderFailure)


@pytest.mark.parametrize(("body", "reasons"), ATTACKS)
async def test_an_attack_gets_an_error_and_the_next_render_works(
    renderer: Renderer, body: str, reasons: set[str]
) -> None:
    begun = time.monotonic()
    result = await renderer.render(sms(body), {}, "en", tenant=uuid4())
    assert isinstance(result, RenderFailure)
    assert result.reason in reasons
    assert await can_render(renderer)
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize("body", [body for body, _ in ATTACKS])
async def test_saving_an_attack_is_quick_and_harmless(renderer: Renderer, body: str) -> None:
    begun = time.monotonic()
    assert isinstance(await renderer.inspect(sms(body), tenant=uuid4()), Inspection | RenderFailure)
    assert await can_render(renderer)
    assert time.monotonic() - begun < 30


async def test_a_huge_input_is_refused_before_it_reaches_a_child(renderer: Renderer) -> None:
    result = await renderer.render(sms("x"), {"a": "x" * (3 << 20)}, "en")
    assert result == RenderFailure(reason="template and variables larger than 2 MiB")


async def test_hostile_html_does_not_hold_up_the_text_part(renderer: Renderer) -> None:
    begun = time.monotonic()
    result = await renderer.render(email("{% for a in range(90000) %}<a href=x><b{% endfor %}"), {}, "en")
    assert isinstance(result, RenderedContent | RenderFailure)
    assert await can_render(renderer)
    assert time.monotonic() - begun < 30


async def test_one_poison_template_affects_none_of_twenty_others(renderer: Renderer) -> None:
    poison = asyncio.create_task(renderer.render(sms(ENDLESS), {}, "en", tenant=uuid4()))
    others = await asyncio.gather(*(renderer.render(sms("{{ n }}"), {"n": n}, "en") for n in range(20)))
    assert not poison.done()  # the calls used the other child while this one was still looping
    assert others == [RenderedContent(content={"text": str(n)}) for n in range(20)]
    assert await poison == RenderFailure(reason=SLOW)


async def test_waiting_behind_poison_does_not_count(renderer: Renderer) -> None:
    begun = time.monotonic()
    poison = [asyncio.create_task(renderer.render(sms(ENDLESS), {}, "en", tenant=uuid4())) for _ in range(4)]
    others = await asyncio.gather(*(renderer.render(sms("{{ n }}"), {"n": n}, "en") for n in range(20)))
    assert time.monotonic() - begun > 1.5  # they waited longer than their own second
    assert others == [RenderedContent(content={"text": str(n)}) for n in range(20)]
    assert await asyncio.gather(*poison) == [RenderFailure(reason=SLOW)] * 4


async def test_a_canceled_call_leaves_no_response_for_the_next(renderer: Renderer) -> None:
    for _ in range(4):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await renderer.render(sms(ENDLESS), {}, "en", tenant=uuid4())
    assert await can_render(renderer)
