"""Find the names that a template reads without a check for their existence. Used by `templates`, in the child.

StrictUndefined fails such a read when the payload lacks the name. Checks by `is defined`, `default` and `set` are
followed through `if`, `and`, `or`, `not` and inline `if`. An attribute counts as its object: `order.id` reads `order`,
and `order.id is defined` does not check `order`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from jinja2 import nodes

Names = frozenset[str]
NO_NAMES: Names = frozenset()

# Tests that accept an undefined value and return false for it.
PRESENCE_TESTS = {
    "boolean",
    "defined",
    "false",
    "float",
    "integer",
    "mapping",
    "none",
    "number",
    "sequence",
    "string",
    "true",
}
ABSENCE_TEST = "undefined"
DEFAULT_FILTERS = {"default", "d"}


def find_required_names(tree: nodes.Template, names: set[str]) -> set[str]:
    """Return those of `names` without which the template fails on at least one path."""
    walker = _TemplateWalker(frozenset(names))
    walker.walk(tree.body, NO_NAMES)
    return walker.required


@dataclass(frozen=True, kw_only=True)
class NameFacts:
    """Hold the names that exist where an expression is true, and where it is false."""

    if_true: Names = NO_NAMES
    if_false: Names = NO_NAMES

    def negated(self) -> "NameFacts":
        return NameFacts(if_true=self.if_false, if_false=self.if_true)

    def and_(self, right: "NameFacts") -> "NameFacts":
        """Combine with an operand that is evaluated only if this one is true."""
        return NameFacts(if_true=self.if_true | right.if_true, if_false=self.if_false & (self.if_true | right.if_false))


NO_FACTS = NameFacts()


class _TemplateWalker:
    """Walk a template. `known` are the names that certainly exist at a point of it."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.required: set[str] = set()

    def walk(self, body: Iterable[nodes.Node], known: Names) -> Names:
        """Walk the statements in order and return the names known after them."""
        for statement in body:
            known = self._walk_statement(statement, known)
        return known

    def _walk_statement(self, node: nodes.Node, known: Names) -> Names:
        match node:
            case nodes.If():
                return self._walk_if(node, known)
            case nodes.Assign():
                self._read(node.node, known)
                return known | self._assigned_names(node.target)
            case nodes.AssignBlock():
                self._walk_scope(node, known, [node.filter])
                return known | self._assigned_names(node.target)
            case nodes.Macro():
                self._walk_scope(node, known, node.defaults, node.args)
                return known | self._tracked_names(node.name)
            case nodes.CallBlock():
                self._walk_scope(node, known, [node.call, *node.defaults], node.args)
            case nodes.With():
                self._walk_scope(node, known, node.values, node.targets)
            case nodes.FilterBlock():
                self._walk_scope(node, known, [node.filter])
            case nodes.Block():
                self._walk_scope(node, known)
            case nodes.For():
                self._walk_for(node, known)
            case _:
                self._read_all(node.iter_child_nodes(), known)
        return known

    def _walk_if(self, node: nodes.If, known: Names) -> Names:
        ends = []
        for branch in (node, *node.elif_):
            facts = self._read(branch.test, known)
            ends.append(self.walk(branch.body, known | facts.if_true))
            known |= facts.if_false
        return self.walk(node.else_, known).intersection(*ends)

    def _walk_for(self, node: nodes.For, known: Names) -> None:
        self._read(node.iter, known)
        inside = known | self._assigned_names(node.target) | self._tracked_names("loop")
        if node.test is not None:
            inside |= self._read(node.test, inside).if_true
        self.walk(node.body, inside)
        self.walk(node.else_, known)

    def _walk_scope(
        self,
        node: nodes.AssignBlock | nodes.Block | nodes.CallBlock | nodes.FilterBlock | nodes.Macro | nodes.With,
        known: Names,
        outside: Iterable[nodes.Node | None] = (),
        targets: Iterable[nodes.Node] = (),
    ) -> None:
        """Walk a body whose assignments stay local."""
        self._read_all((each for each in outside if each is not None), known)
        self.walk(node.body, known | self._assigned_names(*targets))

    def _read_all(self, expressions: Iterable[nodes.Node], known: Names) -> None:
        for expression in expressions:
            self._read(expression, known)

    def _read(self, node: nodes.Node, known: Names) -> NameFacts:
        match node:
            case nodes.Name():
                self.required |= self._tracked_names(node.name) - known
            case nodes.Test(node=nodes.Name(name=name), name=test_name) if test_name == ABSENCE_TEST:
                return NameFacts(if_false=self._tracked_names(name))
            case nodes.Test(node=nodes.Name(name=name), name=test_name) if test_name in PRESENCE_TESTS:
                return NameFacts(if_true=self._tracked_names(name))
            case nodes.Filter(node=nodes.Name(name=name)) if node.name in DEFAULT_FILTERS:
                self._read_all([*node.args, *node.kwargs], known)
                return NameFacts(if_true=self._tracked_names(name)) if _has_falsy_default(node) else NO_FACTS
            case nodes.Not():
                return self._read(node.node, known).negated()
            case nodes.And():
                left = self._read(node.left, known)
                return left.and_(self._read(node.right, known | left.if_true))
            case nodes.Or():
                left = self._read(node.left, known)
                right = self._read(node.right, known | left.if_false)
                return left.negated().and_(right.negated()).negated()
            case nodes.CondExpr():
                facts = self._read(node.test, known)
                self._read(node.expr1, known | facts.if_true)
                self._read_all([node.expr2] if node.expr2 else [], known | facts.if_false)
            case _:
                self._read_all(node.iter_child_nodes(), known)
        return NO_FACTS

    def _assigned_names(self, *targets: nodes.Node) -> Names:
        """Return the names of `a`, or `a, (b, c)`; `namespace.a` assigns none."""
        inner = (name for target in targets for name in target.find_all(nodes.Name))
        whole = (target for target in targets if isinstance(target, nodes.Name))
        return self._tracked_names(*(name.name for name in (*whole, *inner)))

    def _tracked_names(self, *names: str) -> Names:
        return self._names.intersection(names)


def _has_falsy_default(default: nodes.Filter) -> bool:
    """Return whether a true `x|default(...)` cannot be the default, so that `x` exists."""
    named = [argument.value for argument in default.kwargs if argument.key == "default_value"]
    match [*default.args, *named]:
        case []:
            return True
        case [nodes.Const(value=value), *_]:
            return not value
        case [nodes.List(items=[]) | nodes.Tuple(items=[]) | nodes.Dict(items=[]), *_]:
            return True
    return False
