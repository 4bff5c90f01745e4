"""What can be wrong with a module: each mutant is its source with one change, in Python or in the SQL that is in it.

Half of our guards are SQL in strings, which mutation testers of Python leave alone or spoil altogether. Here a lock, a
sort, a condition or an ``ON CONFLICT`` is taken out of a statement, and the rest stays as it is.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Mutant:
    """``what`` was changed in this line of a module, and the whole source with the change.

    ``within`` is the function that the line is in, or the constant.
    """

    module: str
    line: int
    within: str
    what: str
    source: str
    is_sql: bool = False

    @property
    def id(self) -> str:
        return f"{self.module}:{self.line} {self.within}: {self.what}"

    @property
    def name(self) -> str:
        """The same without the line, which moves with every line above it."""
        return f"{self.module} {self.within}: {self.what}"


_COMPARED = {
    ast.Eq: "!=", ast.NotEq: "==", ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Is: "is not",
    ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
_WRITTEN = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Is: "is",
    ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in",
}  # fmt: skip
_SWAPPED = {ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.BitOr: ("|", "&"), ast.BitAnd: ("&", "|")}
_INSTEAD = {"max": "min", "min": "max", "sorted": "list"}
#: Links of a chain of calls that narrow or guard what the rest of it does.
_LINKS = {"with_for_update", "order_by", "where", "limit", "distinct"}
#: What only says something: nobody's promise hangs on it.
_TALK = ("log.", "click.echo", "structlog.")

_CONDITION = r"(?:(?!\b(?:AND|OR|ORDER|GROUP|LIMIT|FOR|HAVING|RETURNING|UNION|FROM|WHERE)\b)[^\"])+?"
_ENDS = (
    r"(?=\s*(?:\bAND\b|\bORDER\b|\bGROUP\b|\bLIMIT\b|\bFOR UPDATE|\bHAVING\b|\bRETURNING\b|\"|\n|$"
    r"|\)\s*(?:AND|SELECT|,|\n|$)))"
)
#: A piece of SQL, and what it becomes.
_SQL = [
    (re.compile(r"\s*\bFOR UPDATE(?: OF \w+)?(?: SKIP LOCKED)?"), ""),
    (re.compile(r"\s*\bSKIP LOCKED\b"), ""),
    (re.compile(r"\s*\bORDER BY [\w., ()]+?(?=\s*(?:\bFOR\b|\bLIMIT\b|\bON CONFLICT\b|\"|\n|$))"), ""),
    (re.compile(r"\s*\bON CONFLICT(?: \(\w+\))? DO NOTHING"), ""),
    (re.compile(r"\s*\bLIMIT :\w+"), ""),
    (re.compile(rf"\s*\bAND {_CONDITION}{_ENDS}"), ""),
    (re.compile(rf"(?<=\bWHERE ){_CONDITION}\s+AND\s+"), ""),
    (re.compile(rf"\s*\bWHERE {_CONDITION}(?=\s*(?:\bORDER\b|\bLIMIT\b|\bRETURNING\b|\"|\n|$))"), ""),
    (re.compile(r"\b(version|count|attempts|sends) \+ 1\b"), r"\1"),
    (re.compile(r"(?<=[\w)]) < (?=[\w:(])"), " > "),
    (re.compile(r"\bIS NOT NULL\b"), "IS NULL"),
    (re.compile(r"\bNOT EXISTS\b"), "EXISTS"),
    (re.compile(r"\bmax\("), "min("),
]
_IS_SQL = re.compile(r"\b(?:SELECT|INSERT INTO|UPDATE|DELETE FROM)\b")


def mutants(module: str, source: str) -> Iterator[Mutant]:
    """Every change of this source that still is Python, by the order of its lines. Each has a name of its own."""
    found: dict[str, Mutant] = {}
    statements = [each for each in ast.walk(ast.parse(source)) if isinstance(each, ast.stmt)]
    for start, end, text, what, is_sql in _changes(source):
        changed = source[:start] + text + source[end:]
        try:
            ast.parse(changed)
        except SyntaxError:
            continue
        line = source.count("\n", 0, start + len(source[start:end]) - len(source[start:end].lstrip())) + 1
        found.setdefault(changed, Mutant(module, line, _within(statements, line), what, changed, is_sql))
    same = Counter[str]()
    for each in sorted(found.values(), key=lambda each: each.line):
        same[each.name] += 1
        yield each if same[each.name] == 1 else replace(each, what=f"{each.what} ({same[each.name]})")


def _within(statements: list[ast.stmt], line: int) -> str:
    """The class and function that this line is in, or the constant of the module."""
    around = [each for each in statements if each.lineno <= line <= (each.end_lineno or each.lineno)]
    names = [each.name for each in around if isinstance(each, ast.ClassDef | ast.FunctionDef)]
    constants = [ast.unparse(each.targets[0]) for each in around[:1] if isinstance(each, ast.Assign)]
    constants += [ast.unparse(each.target) for each in around[:1] if isinstance(each, ast.AnnAssign)]
    return ".".join(names or constants) or "the module"


def _changes(source: str) -> Iterator[tuple[int, int, str, str, bool]]:
    """Start and end of a piece of the source, what stands there instead, how that is called, and whether it is SQL."""
    tree, at = ast.parse(source), _Positions(source)
    documented = {id(each) for each in _docstrings(tree)}
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            child.parent = node  # type: ignore[attr-defined]
    for node in ast.walk(tree):
        if id(node) in documented or isinstance(getattr(node, "parent", None), ast.JoinedStr):
            continue
        for start, end, text in _of_node(node, source, at):
            is_sql = isinstance(getattr(node, "value", None), str) or isinstance(node, ast.JoinedStr) or _links(node)
            yield start, end, text, f"{_short(source[start:end])} -> {_short(text) or 'nothing'}", is_sql


def _links(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _LINKS


def _of_node(node: ast.AST, source: str, at: "_Positions") -> Iterator[tuple[int, int, str]]:
    match node:
        case ast.Compare(ops=[op], left=left, comparators=[right]) if type(op) in _COMPARED:
            start, end = at.end(left), at.start(right)
            yield start, end, source[start:end].replace(_WRITTEN[type(op)], _COMPARED[type(op)], 1)
        case ast.BoolOp(values=values):
            for n in range(len(values)):  # without one of them
                if n:
                    yield at.end(values[n - 1]), at.end(values[n]), ""
                else:
                    yield at.start(values[0]), at.start(values[1]), ""
        case ast.UnaryOp(op=ast.Not(), operand=operand) | ast.UnaryOp(op=ast.Invert(), operand=operand):
            yield at.start(node), at.start(operand), ""
        case ast.BinOp(op=op, left=left, right=right) if type(op) in _SWAPPED and not _is_type(node):
            start, end = at.end(left), at.start(right)
            yield start, end, source[start:end].replace(*_SWAPPED[type(op)], 1)
        case ast.If(test=test) | ast.IfExp(test=test):
            yield at.start(test), at.end(test), "True"
            yield at.start(test), at.end(test), "False"
        case ast.comprehension(ifs=[*ifs]) if ifs:
            for each in ifs:
                yield at.start(each), at.end(each), "True"
        case ast.Expr(value=ast.Call() as call) if not _talks(call, source, at):
            yield at.start(node), at.end(node), "pass"
        case ast.Raise():
            yield at.start(node), at.end(node), "pass"
        case ast.Constant(value=True | False) if not _is_field(node):
            yield at.start(node), at.end(node), str(not node.value)
        case ast.Constant(value=str() as words) if _IS_SQL.search(words):
            yield from _of_sql(at.start(node), at.end(node), source)
        case ast.JoinedStr() if _IS_SQL.search(source[at.start(node) : at.end(node)]):
            yield from _of_sql(at.start(node), at.end(node), source)
        case ast.Call(func=func, args=args):
            if isinstance(func, ast.Name) and func.id in _INSTEAD:
                yield at.start(func), at.end(func), _INSTEAD[func.id]
                if func.id == "sorted" and node.keywords:
                    yield at.start(func), at.end(node), f"list({source[at.start(args[0]) : at.end(args[0])]})"
            if isinstance(func, ast.Attribute) and func.attr in _LINKS:
                yield at.end(func.value), at.end(node), ""
                if func.attr == "where" and len(args) > 1:
                    yield at.start(args[0]), at.start(args[1]), ""
                    for before, each in pairwise(args):
                        yield at.end(before), at.end(each), ""


def _of_sql(start: int, end: int, source: str) -> Iterator[tuple[int, int, str]]:
    written = source[start:end]
    for pattern, instead in _SQL:
        for found in pattern.finditer(written):
            gone = found[0]
            if gone.count("(") == gone.count(")") and gone.count("'") % 2 == 0:
                yield start + found.start(), start + found.end(), found.expand(instead)


class _Positions:
    """Where nodes begin and end in the text. Our sources are in ASCII, so that columns are characters."""

    def __init__(self, source: str) -> None:
        self._lines = [0]
        for line in source.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))

    def start(self, node: ast.AST) -> int:
        return self._lines[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]

    def end(self, node: ast.AST) -> int:
        return self._lines[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]


def _docstrings(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
            yield from (each.value for each in node.body if isinstance(each, ast.Expr))


def _is_type(node: ast.AST) -> bool:
    """Whether ``X | None`` stands where a type does: in a signature, an annotation, or an ``isinstance``."""
    while (parent := getattr(node, "parent", None)) is not None:
        if isinstance(parent, ast.arg | ast.AnnAssign):
            return True
        if isinstance(parent, ast.FunctionDef):
            return node is parent.returns
        if isinstance(parent, ast.Call) and ast.unparse(parent.func) == "isinstance":
            return True
        node = parent
    return False


def _is_field(node: ast.AST) -> bool:
    """Whether a constant is an option of a table, a struct, a dataclass or a type; the migrations make the tables."""
    parent = getattr(node, "parent", None)
    call = getattr(parent, "parent", None)
    return isinstance(parent, ast.keyword) and (
        isinstance(call, ast.ClassDef)
        or (isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] in _DECLARED)
    )


_DECLARED = {"dataclass", "Column", "Identity", "Index", "Table", "TypeVar", "field", "connect", "mapped_column"}


def _talks(call: ast.Call, source: str, at: _Positions) -> bool:
    return source[at.start(call) : at.end(call)].startswith(_TALK)


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 60 else f"{words[:40]} ... {words[-16:]}"
