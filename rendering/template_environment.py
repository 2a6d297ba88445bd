"""Define what a template may use, before memory and time limit the rest. Used in the child only."""

import re
from typing import Any

from jinja2 import StrictUndefined
from jinja2.defaults import DEFAULT_NAMESPACE
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from rendering.failures import TOO_LARGE, TemplateRuleError
from rendering.plain_text import html_to_text

REPEAT_LIMIT = 100_000
NUMBER_BITS = 8_192

# Padding and formatting methods turn a few characters into gigabytes; `attr` reaches attributes that a dot may not.
REMOVED_FILTERS = {"attr", "center", "format", "indent", "pprint", "xmlattr"}
REMOVED_GLOBALS = {"lipsum"}
TEXT_METHODS = frozenset(
    re.findall(
        r"\w+",
        """
    capitalize casefold count endswith find index isalnum isalpha isdecimal isdigit islower isnumeric isspace istitle
    isupper join lower lstrip partition removeprefix removesuffix replace rfind rpartition rsplit rstrip split
    splitlines startswith strip swapcase title upper
""",
    )
)


class UndefinedName(StrictUndefined):
    """Report "variable NAME" or "attribute NAME"; `failures` decides what to show, because NAME can come from the
    payload.
    """

    # Without this, a list would print "[Undefined]" to a recipient.
    __repr__ = StrictUndefined._fail_with_undefined_error

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint is not None and self._undefined_name is None:
            return "value"
        return f"{'variable' if self._undefined_obj is missing else 'attribute'} {self._undefined_name}"


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    # Intercepted operators are not folded at compile time, so `10**10**8` reaches `call_binop` first.
    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        check = {"*": _check_product, "**": _check_power, "%": _check_remainder}[operator]
        check(left, right)
        return super().call_binop(context, operator, left, right)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Prefer keys: `order.items` is the payload's `items`, not the method of Python's dict."""
        if type(obj) is dict and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, (str, bytes, int, float)) and attr not in TEXT_METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        """Disable `str.format`. Jinja2's guarded version would still allow widths that make gigabytes."""

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        return self.undefined(name=attribute, obj=obj, exc=SecurityError)


def _check_product(left: object, right: object) -> None:
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() + right.bit_length())
    for repeated, times in ((left, right), (right, left)):
        if isinstance(repeated, (str, list, tuple)) and isinstance(times, int) and len(repeated) * times > REPEAT_LIMIT:
            raise TemplateRuleError(f"repetition longer than {REPEAT_LIMIT}")


def _check_power(left: object, right: object) -> None:
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() * abs(right))


def _check_remainder(left: object, _: object) -> None:
    if isinstance(left, (str, bytes)):
        raise TemplateRuleError("% formatting is not available")


def _check_bits(bits: int) -> None:
    if bits > NUMBER_BITS:
        raise TemplateRuleError(TOO_LARGE)


def build_environment(*, html: bool) -> TemplateEnvironment:
    """Build an environment without a loader: `templates` refuses `include`, `import` and `extends` when parsing."""
    sandbox = TemplateEnvironment(autoescape=html, undefined=UndefinedName, cache_size=0, keep_trailing_newline=True)
    sandbox.filters = {name: filter_ for name, filter_ in FILTERS.items() if name not in REMOVED_FILTERS}
    sandbox.filters["plain_text"] = html_to_text
    sandbox.globals = {name: value for name, value in DEFAULT_NAMESPACE.items() if name not in REMOVED_GLOBALS}
    sandbox.globals["range"] = limited_range
    sandbox.globals["locale"] = ""
    return sandbox


def limited_range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > REPEAT_LIMIT:
        raise TemplateRuleError(TOO_LARGE)
    return numbers
