"""Literals in a program's text, in the brackets that they stand in, whatever its language is.

Called by `sealed_examples` and `answer_tables`. A text that no language allows gives some tree, too. It must not know
what a literal means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

_LONGEST = 256 * 1024
_DEEPEST = 60
_HASH_COMMENTS = (".py", ".rb", ".sh", ".ex", ".exs", ".pl", ".toml", ".yml", ".yaml")
_QUOTED = r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'"
_NUMBER = r"0[xX][0-9a-fA-F_]+|\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][-+]?\d+)?"
_REST = (
    rf"(?P<number>(?<![\w.])(?:{_NUMBER})n?(?!\w))|(?P<word>[A-Za-z_$][\w$]*)|(?P<bracket>[\[\](){{}}])"
    r"|(?P<sign>===|!==|==|!=|=>|->|:=|<=|>=|&&|\|\||\S)"
)
_PREFIX = r"(?:\b[rRbBuUfF]{1,2})?"
_PYTHON = re.compile(
    rf"(?P<comment>#[^\n]*)|(?P<text>{_PREFIX}(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''|{_QUOTED}))|{_REST}",
    re.DOTALL,
)
_OTHER = re.compile(
    rf"(?P<comment>//[^\n]*|/\*.*?\*/)|(?P<text>{_QUOTED}|`[^`]*`)|(?P<pattern>/(?:[^/\\\[\n*]|\\.|\[(?:[^\]\\\n]|\\.)*\])"
    rf"(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])*/[a-z]*)|{_REST}",
    re.DOTALL,
)
_BEFORE_PATTERN = re.compile(r"[(=,:\[!&|?{};+]|&&|\|\||=>|===?|!==?|return|typeof|case")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "\n": ""}
_LONGEST_NUMBER = 300
"""Characters of a number; a longer one is taken for a text."""
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_NAMES_OF_VALUES = {"True", "False", "None", "true", "false", "null", "nil", "undefined", "new", "const"}
_JOINS = {",", ":", "=>", "->", "=", ".", "&", "@", "-"}
"""Signs between the literals of a table."""


@dataclass(frozen=True)
class Token:
    """Literal, word or sign."""

    kind: str
    """`text`, `number`, `pattern`, `word` or `sign`."""
    text: str
    """Value of a literal in its shortest spelling; else what stands there."""
    line: int
    place: int = 0
    """Characters before it in the file."""

    @property
    def is_literal(self) -> bool:
        """True for a text or a number."""
        return self.kind in ("text", "number")

    @property
    def end(self) -> int:
        """Last line."""
        return self.line


@dataclass
class Group:
    """Content of a pair of brackets, or of a whole file."""

    opening: str
    line: int
    nodes: list[Token | Group] = field(default_factory=list["Token | Group"])
    end: int = 0
    """Line of the closing bracket."""

    def parts(self) -> Iterator[list[Token | Group]]:
        """Nodes between commas; an empty part is left out."""
        part: list[Token | Group] = []
        for node in self.nodes:
            if is_sign(node, ","):
                if part:
                    yield part
                part = []
            else:
                part.append(node)
        if part:
            yield part


Node = Token | Group


def parse(text: str, path: str) -> Group:
    """The tree of a file.

    Args:
        text: The file's content.
        path: Tells how comments are written.
    """
    top = Group("", 1)
    open_groups = [top]
    for token in _tokens(text[:_LONGEST], is_python=path.endswith(_HASH_COMMENTS)):
        current = open_groups[-1]
        if token.kind != "bracket":
            current.nodes.append(token)
        elif token.text in _CLOSING:
            group = Group(token.text, token.line)
            current.nodes.append(group)
            if len(open_groups) < _DEEPEST:
                open_groups.append(group)
        elif len(open_groups) > 1 and _CLOSING[current.opening] == token.text:
            current.end = token.line
            open_groups.pop()
    for group in groups(top):
        group.end = group.end or group.line
        group.nodes = _folded(group.nodes)
    return top


def groups(top: Group) -> Iterator[Group]:
    """A group and all groups in it."""
    yield top
    for node in top.nodes:
        if isinstance(node, Group):
            yield from groups(node)


def leaves(nodes: Sequence[Node]) -> list[str]:
    """Literals in some nodes and in the groups among them, and the bare words that are keys."""
    values: list[str] = []
    for at, node in enumerate(nodes):
        if isinstance(node, Group):
            values += leaves(node.nodes)
        elif node.is_literal or _is_key(nodes, at):
            values.append(node.text)
    return values


def is_plain(nodes: Sequence[Node]) -> bool:
    """True for data: literals in brackets, with names of types and of fields."""
    for at, node in enumerate(nodes):
        following = nodes[at + 1] if at + 1 < len(nodes) else None
        if isinstance(node, Group):
            if not is_plain(node.nodes) and not (node.opening == "[" and all(map(_is_word, node.nodes))):
                return False
        elif node.kind == "sign":
            if node.text not in _JOINS:
                return False
        elif node.kind == "pattern" or (
            node.kind == "word"
            and node.text not in _NAMES_OF_VALUES
            and not isinstance(following, Group)
            and not any(is_sign(following, sign) for sign in (":", "=", "."))
        ):
            return False
    return True


def is_sign(node: Node | None, text: str) -> bool:
    """True for one sign."""
    return isinstance(node, Token) and node.kind == "sign" and node.text == text


def _is_word(node: Node) -> bool:
    return isinstance(node, Token) and node.kind == "word"


def _is_key(nodes: Sequence[Node], at: int) -> bool:
    following = nodes[at + 1] if at + 1 < len(nodes) else None
    before = nodes[at - 1] if at else None
    is_first = before is None or is_sign(before, ",")
    return _is_word(nodes[at]) and is_first and (is_sign(following, ":") or is_sign(following, "="))


def _tokens(text: str, *, is_python: bool) -> Iterator[Token]:
    line, at = 1, 0
    pattern = _PYTHON if is_python else _OTHER
    previous = "("
    position = 0
    while match := pattern.search(text, position):
        kind = match.lastgroup or "sign"
        line += text.count("\n", at, match.start())
        at = match.start()
        position = match.end()
        if kind == "pattern" and not _BEFORE_PATTERN.fullmatch(previous):
            kind, position = "sign", match.start() + 1
        if kind == "comment":
            continue
        spelled = text[match.start() : position]
        previous = spelled
        if kind == "number" and len(spelled) > _LONGEST_NUMBER:
            yield Token("text", spelled, line, at)
        elif kind == "text":
            yield replace(_text(spelled, line), place=at)
        else:
            yield Token(kind, _number(spelled) if kind == "number" else spelled, line, at)


def _text(spelled: str, line: int) -> Token:
    prefix = re.match(r"[A-Za-z]*", spelled)
    marks = (prefix[0] if prefix else "").lower()
    quoted = spelled[len(marks) :]
    length = 3 if quoted[:3] in ('"""', "'''") and len(quoted) >= 6 else 1
    inner = quoted[length:-length]
    if ("f" in marks and "{" in inner) or (quoted[0] == "`" and "${" in inner):
        return Token("pattern", inner, line)
    is_raw = "r" in marks or quoted[0] == "`"
    return Token("text", inner if is_raw or "\\" not in inner else _ESCAPE.sub(_unescaped, inner), line)


def _unescaped(match: re.Match[str]) -> str:
    code, letter = match[1] or match[2], match[3]
    return chr(int(code, 16)) if code else _ESCAPED.get(letter, letter)


def _number(spelled: str) -> str:
    bare = spelled.replace("_", "").removesuffix("n")
    if bare[:2] in ("0x", "0X"):
        return str(int(bare, 16))
    return _shortest(float(bare)) if re.search(r"[.eE]", bare) else bare.lstrip("0") or "0"


def _shortest(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _folded(nodes: list[Node]) -> list[Node]:
    """Nodes with sums and products of numbers worked out, signs before numbers taken in, and texts joined."""
    folded: list[Node] = []
    at = 0
    while at < len(nodes):
        node = nodes[at]
        is_operand = folded and (isinstance(folded[-1], Group) or folded[-1].kind != "sign")
        if is_sign(node, "-") and not is_operand and at + 1 < len(nodes) and _is_number(nodes[at + 1]):
            at += 1
            node = nodes[at]
            node = replace(node, text=f"-{node.text}") if isinstance(node, Token) else node
        end = at + 1
        words: list[str] = [node.text] if isinstance(node, Token) else []
        if isinstance(node, Token) and node.kind == "text":
            while (step := _steps_to_text(nodes, end)) and isinstance(following := nodes[end + step - 1], Token):
                node = replace(node, text=node.text + following.text)
                end += step
        elif isinstance(node, Token) and _is_number(node) and not is_operand:
            while end + 1 < len(nodes) and _is_operator(nodes[end]) and _is_number(nodes[end + 1]):
                words += [token.text for token in nodes[end : end + 2] if isinstance(token, Token)]
                end += 2
            if end > at + 1:
                node = replace(node, text=_worked_out(words))
        folded.append(node)
        at = end
    return folded


def _steps_to_text(nodes: Sequence[Node], at: int) -> int:
    """Number of nodes up to a text that continues the one before; 0: there is none."""
    steps = 2 if at < len(nodes) and is_sign(nodes[at], "+") else 1
    text = nodes[at + steps - 1] if at + steps <= len(nodes) else None
    return steps if isinstance(text, Token) and text.kind == "text" else 0


def _is_number(node: Node) -> bool:
    return isinstance(node, Token) and node.kind == "number"


def _is_operator(node: Node) -> bool:
    return isinstance(node, Token) and node.kind == "sign" and node.text in ("+", "-", "*")


def _worked_out(words: Sequence[str]) -> str:
    terms = [float(words[0])]
    for operator, number in zip(words[1::2], words[2::2], strict=True):
        if operator == "*":
            terms[-1] *= float(number)
        else:
            terms.append(float(number) if operator == "+" else -float(number))
    return _shortest(sum(terms))
