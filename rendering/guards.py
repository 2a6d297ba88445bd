"""Which names a template reads without asking whether they are there; used by `templates`, in the child.

StrictUndefined fails such a read when the payload lacks the name. What `is defined`, `default` and `set` make safe is
followed through `if`, `and`, `or`, `not` and inline `if`. An attribute counts as its object: `order.id` reads `order`,
and `order.id is defined` does not ask about `order`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from jinja2 import nodes

Names = frozenset[str]
NONE: Names = frozenset()

# Tests that may be asked about what is not there, and say no to it.
ASKING = {"boolean", "defined", "false", "float", "integer", "mapping", "none", "number", "sequence", "string", "true"}
ABSENT = "undefined"
DEFAULT = {"default", "d"}


def unguarded(tree: nodes.Template, names: set[str]) -> set[str]:
    """Those of `names` without which the template fails, at least on one path through it."""
    reader = _Reader(frozenset(names))
    reader.run(tree.body, NONE)
    return reader.found


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Names that are there wherever an expression was true, and wherever it was false."""

    if_true: Names = NONE
    if_false: Names = NONE

    def negated(self) -> "Facts":
        return Facts(if_true=self.if_false, if_false=self.if_true)

    def and_(self, right: "Facts") -> "Facts":
        """`right` was read only where this one was true."""
        return Facts(if_true=self.if_true | right.if_true, if_false=self.if_false & (self.if_true | right.if_false))


NOTHING = Facts()


class _Reader:
    """`known` are the names that are certainly there at a point of the template."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.found: set[str] = set()

    def run(self, body: Iterable[nodes.Node], known: Names) -> Names:
        """Reads statements one after the other; what is known behind them."""
        for statement in body:
            known = self._after(statement, known)
        return known

    def _after(self, node: nodes.Node, known: Names) -> Names:
        match node:
            case nodes.If():
                return self._after_if(node, known)
            case nodes.Assign():
                self._read(node.node, known)
                return known | self._stored(node.target)
            case nodes.AssignBlock():
                self._scope(node, known, [node.filter])
                return known | self._stored(node.target)
            case nodes.Macro():
                self._scope(node, known, node.defaults, node.args)
                return known | self._only(node.name)
            case nodes.CallBlock():
                self._scope(node, known, [node.call, *node.defaults], node.args)
            case nodes.With():
                self._scope(node, known, node.values, node.targets)
            case nodes.FilterBlock():
                self._scope(node, known, [node.filter])
            case nodes.Block():
                self._scope(node, known)
            case nodes.For():
                self._for(node, known)
            case _:
                self._read_all(node.iter_child_nodes(), known)
        return known

    def _after_if(self, node: nodes.If, known: Names) -> Names:
        ends = []
        for branch in (node, *node.elif_):
            facts = self._read(branch.test, known)
            ends.append(self.run(branch.body, known | facts.if_true))
            known |= facts.if_false
        return self.run(node.else_, known).intersection(*ends)

    def _for(self, node: nodes.For, known: Names) -> None:
        self._read(node.iter, known)
        inside = known | self._stored(node.target) | self._only("loop")
        if node.test is not None:
            inside |= self._read(node.test, inside).if_true
        self.run(node.body, inside)
        self.run(node.else_, known)

    def _scope(
        self,
        node: nodes.AssignBlock | nodes.Block | nodes.CallBlock | nodes.FilterBlock | nodes.Macro | nodes.With,
        known: Names,
        outside: Iterable[nodes.Node | None] = (),
        targets: Iterable[nodes.Node] = (),
    ) -> None:
        """What such a body sets stays in it."""
        self._read_all((each for each in outside if each is not None), known)
        self.run(node.body, known | self._stored(*targets))

    def _read_all(self, expressions: Iterable[nodes.Node], known: Names) -> None:
        for expression in expressions:
            self._read(expression, known)

    def _read(self, node: nodes.Node, known: Names) -> Facts:
        match node:
            case nodes.Name():
                self.found |= self._only(node.name) - known
            case nodes.Test(node=nodes.Name(name=name), name=asked) if asked == ABSENT:
                return Facts(if_false=self._only(name))
            case nodes.Test(node=nodes.Name(name=name), name=asked) if asked in ASKING:
                return Facts(if_true=self._only(name))
            case nodes.Filter(node=nodes.Name(name=name)) if node.name in DEFAULT:
                self._read_all([*node.args, *node.kwargs], known)
                return Facts(if_true=self._only(name)) if _falsy(node) else NOTHING
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
        return NOTHING

    def _stored(self, *targets: nodes.Node) -> Names:
        """`a`, or `a, (b, c)`; `namespace.a` makes no name."""
        inner = (name for target in targets for name in target.find_all(nodes.Name))
        whole = (target for target in targets if isinstance(target, nodes.Name))
        return self._only(*(name.name for name in (*whole, *inner)))

    def _only(self, *names: str) -> Names:
        return self._names.intersection(names)


def _falsy(default: nodes.Filter) -> bool:
    """Where `x|default(...)` is true, it was not the default, so `x` is there."""
    named = [argument.value for argument in default.kwargs if argument.key == "default_value"]
    match [*default.args, *named]:
        case []:
            return True
        case [nodes.Const(value=value), *_]:
            return not value
        case [nodes.List(items=[]) | nodes.Tuple(items=[]) | nodes.Dict(items=[]), *_]:
            return True
    return False
