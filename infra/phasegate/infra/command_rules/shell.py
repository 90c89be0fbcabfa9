"""Parser of command lines, as a POSIX shell reads them: lists, pipes, groups, loops, substitutions.

Called by `programs`. Whatever it does not understand it says so by `Unparsable`, never by leaving something out: the
caller then takes the stricter view. It must not know which commands are allowed. Source: POSIX.1-2017, XCU chapter 2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_META = frozenset(" \t\n|&;()<>")
_LEADING = frozenset({"if", "then", "elif", "else", "fi", "while", "until", "do", "done", "{", "}", "!"})
_NOT_READ = frozenset({"case", "esac", "function", "select", "coproc"})
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-]")
_ARITHMETIC = re.compile(r"[\w\s+\-*/%<>=!&|^~?:,()$]*")
_MAX_DEPTH = 20


class Unparsable(Exception):
    """The command line cannot be read with certainty."""


@dataclass(frozen=True)
class Word:
    """Word after quotes are removed.

    Attributes:
        text: What it says; parts that the shell computes are left out.
        literal: True if nothing of it is computed.
    """

    text: str
    literal: bool = True


@dataclass(frozen=True)
class SimpleCommand:
    """A program and its arguments, assignments before it included.

    Attributes:
        words: In order; redirections are not among them.
        fed: What is handed to its standard input, where the command line says it word for word.
        piped: True if its standard input is something else than the terminal.
    """

    words: tuple[Word, ...]
    fed: str | None = None
    piped: bool = False


def parse(text: str) -> list[SimpleCommand]:
    """Every simple command of a command line, those in substitutions included, in no particular order.

    Raises:
        Unparsable: Some of it cannot be read with certainty.
    """
    reader = _Reader(text, 0)
    reader.script("")
    return reader.commands


@dataclass
class _Heredoc:
    delimiter: str
    quoted: bool
    tabs: bool
    owner: _Draft


@dataclass
class _Draft:
    words: list[Word] = field(default_factory=list)
    fed: str | None = None
    piped: bool = False
    skipped: bool = False
    """A `for` head: its words are no command."""


class _Reader:
    def __init__(self, text: str, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise Unparsable("it is nested too deeply")
        self._text, self._at, self._depth = text, 0, depth
        self._heredocs: list[_Heredoc] = []
        self._waiting: list[_Draft] = []
        self.commands: list[SimpleCommand] = []

    def script(self, until: str) -> None:  # noqa: C901  one branch per kind of token
        """Read up to the closing character, or to the end."""
        draft = _Draft()
        while self._at < len(self._text):
            here = self._text[self._at]
            if here in " \t":
                self._at += 1
            elif self._text.startswith("\\\n", self._at):
                self._require_one_line("\n")
                self._at += 2
            elif here == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            elif here == ")" and until == ")":
                if self._heredocs:
                    raise Unparsable("a here-document has no end")
                self._at += 1
                self._end(draft)
                return
            elif here in ";&|\n":
                draft = self._separator(draft)
            elif here in "()":
                draft = self._parenthesis(draft)
            elif here in "<>":
                self._redirection(draft)
            else:
                self._take_word(draft)
        if until:
            raise Unparsable(f"{until} is missing")
        if self._heredocs:
            raise Unparsable("a here-document has no end")
        self._end(draft)

    def _separator(self, draft: _Draft) -> _Draft:
        here = self._text[self._at]
        if here == "&" and self._text.startswith("&>", self._at):
            self._at += 1
            return draft  # bash's redirection of both: what follows is read as one
        self._at += 1
        self._end(draft)
        if here == "\n":
            self._read_heredocs()
        is_pipe = here == "|" and not self._text.startswith("|", self._at)
        if here == "|" and not is_pipe:
            self._at += 1
        return _Draft(piped=is_pipe)

    def _parenthesis(self, draft: _Draft) -> _Draft:
        if self._text[self._at] == ")":
            raise Unparsable("a ) closes nothing")
        if draft.words:
            if not re.compile(r"\(\s*\)").match(self._text, self._at) or len(draft.words) != 1:
                raise Unparsable("a ( stands where none is expected")
            self._at = self._text.index(")", self._at) + 1  # a function's head: its body is read like any other
            return _Draft()
        self._at += 1
        self._nested(draft)
        return draft

    def _nested(self, draft: _Draft | None = None) -> None:
        """Read to the closing parenthesis with the rest of the text, keeping what is found."""
        inner = _Reader(self._text, self._depth + 1)
        inner._at = self._at
        inner.script(")")
        self._require_one_line(self._text[self._at : inner._at])
        self._at = inner._at
        piped = draft is not None and draft.piped
        self.commands += [
            SimpleCommand(command.words, command.fed, piped=command.piped or piped) for command in inner.commands
        ]

    def _redirection(self, draft: _Draft) -> None:
        if self._text.startswith(("<(", ">("), self._at):
            self._at += 2
            self._nested()
            draft.words.append(Word("", literal=False))
            return
        match = re.compile(r"<<<|<<-|<<|<>|<&|>>|>&|>\||<|>").match(self._text, self._at)
        operator = match[0] if match else ""
        last = draft.words[-1] if draft.words else None
        if last is not None and last.literal and last.text.isdecimal() and self._text[self._at - 1].isdecimal():
            draft.words.pop()  # the number of the descriptor
        self._at += len(operator)
        self._skip_blanks()
        begin = self._at
        target = self._word()
        self._require_one_line(self._text[begin : self._at])
        if self._at == begin:
            raise Unparsable(f"nothing follows {operator}")
        if operator in {"<<", "<<-"}:
            raw = self._text[begin : self._at]
            if not target.literal:
                raise Unparsable("the end of a here-document is computed")
            quoted = any(mark in raw for mark in "'\"\\")
            self._heredocs.append(_Heredoc(target.text, quoted, operator == "<<-", draft))
        elif operator == "<<<":
            draft.fed = target.text if target.literal else None
        if operator.startswith("<"):
            draft.piped = True

    def _read_heredocs(self) -> None:
        for heredoc in self._heredocs:
            lines: list[str] = []
            while True:
                if self._at >= len(self._text):
                    raise Unparsable("a here-document has no end")
                end = self._text.find("\n", self._at)
                line = self._text[self._at :] if end < 0 else self._text[self._at : end]
                self._at = len(self._text) if end < 0 else end + 1
                if heredoc.tabs:
                    line = line.lstrip("\t")
                if line == heredoc.delimiter:
                    break
                lines.append(line)
            body = "\n".join(lines) + "\n"
            if not heredoc.quoted:
                inner = _Reader(body, self._depth + 1)
                computed = inner.quoted_text("")
                self.commands += inner.commands
                heredoc.owner.fed = body if computed.literal else None
            else:
                heredoc.owner.fed = body
        self._heredocs = []
        for draft in self._waiting:
            self._keep(draft)
        self._waiting = []

    def _take_word(self, draft: _Draft) -> None:
        begin = self._at
        word = self._word()
        raw = self._text[begin : self._at]
        self._require_one_line(raw)
        if raw in {"[", "[["}:
            word = Word(raw)
        if not draft.words and not draft.skipped:
            if raw in _NOT_READ:
                raise Unparsable(f"`{raw}` is not read")
            if raw == "for":
                draft.skipped = True
            if raw in _LEADING:
                return
        draft.words.append(word)

    def _end(self, draft: _Draft) -> None:
        if any(heredoc.owner is draft for heredoc in self._heredocs):
            self._waiting.append(draft)
        else:
            self._keep(draft)

    def _keep(self, draft: _Draft) -> None:
        if draft.words and not draft.skipped:
            self.commands.append(SimpleCommand(tuple(draft.words), draft.fed, draft.piped))

    def _require_one_line(self, raw: str) -> None:
        """Shells disagree on where a here-document begins when the line that names it has not ended."""
        if self._heredocs and "\n" in raw:
            raise Unparsable("a here-document begins in the middle of a line")

    def _skip_blanks(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in " \t":
            self._at += 1

    def _word(self) -> Word:
        parts: list[str] = []
        literal = True
        while self._at < len(self._text) and (here := self._text[self._at]) not in _META:
            if here == "\\":
                parts.append(self._escaped())
            elif here == "'":
                parts.append(self._single_quoted())
            elif here == '"':
                self._at += 1
                inner = self.quoted_text('"')
                parts.append(inner.text)
                literal &= inner.literal
            elif here in "$`":
                literal = False
                self._expansion()
            else:
                literal &= here not in "*?[{" or (here == "{" and self._text.startswith(("{}", "{ "), self._at))
                parts.append(here)
                self._at += 1
        return Word("".join(parts), literal)

    def _escaped(self) -> str:
        self._at += 2
        if self._at > len(self._text):
            raise Unparsable("it ends in a backslash")
        character = self._text[self._at - 1]
        return "" if character == "\n" else character

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise Unparsable("a ' is not closed")
        text = self._text[self._at + 1 : end]
        self._at = end + 1
        return text

    def quoted_text(self, until: str) -> Word:
        """Text between double quotes, or in a here-document, up to the closing character or the end."""
        parts: list[str] = []
        literal = True
        while self._at < len(self._text):
            here = self._text[self._at]
            if here == until:
                self._at += 1
                return Word("".join(parts), literal)
            if here == "\\" and self._text[self._at + 1 : self._at + 2] in {"$", "`", '"', "\\", "\n"}:
                parts.append(self._escaped())
            elif here in "$`":
                literal &= not self._expansion()
                if literal:
                    parts.append(here)
            else:
                parts.append(here)
                self._at += 1
        if until:
            raise Unparsable(f"a {until} is not closed")
        return Word("".join(parts), literal)

    def _expansion(self) -> bool:
        """Read what begins with `$` or a backtick.

        Returns:
            True if it is more than that character.
        """
        if self._text[self._at] == "`":
            self._backticks()
            return True
        self._at += 1
        rest = self._text[self._at : self._at + 2]
        if rest == "((":
            self._arithmetic()
        elif rest.startswith("("):
            self._at += 1
            self._nested()
        elif rest.startswith("{"):
            self._at += 1
            self._braces()
        elif rest.startswith("'"):
            raise Unparsable("shells disagree about $'…'")
        elif match := _PARAMETER.match(self._text, self._at):
            self._at = match.end()
        else:
            return False
        return True

    def _backticks(self) -> None:
        match = re.compile(r"`((?:\\.|[^`\\])*)`", re.DOTALL).match(self._text, self._at)
        if match is None:
            raise Unparsable("a ` is not closed")
        self._at = match.end()
        inner = _Reader(re.sub(r"\\([\\`$])", r"\1", match[1]), self._depth + 1)
        inner.script("")
        self.commands += inner.commands

    def _arithmetic(self) -> None:
        depth, begin = 0, self._at
        while self._at < len(self._text):
            here = self._text[self._at]
            depth += (here == "(") - (here == ")")
            self._at += 1
            if depth == 0:
                break
            if depth == 1 and here == ")" and not self._text.startswith(")", self._at):
                raise Unparsable("a $(( is not closed by ))")
        content = self._text[begin + 2 : self._at - 2]
        plain = _ARITHMETIC.fullmatch(content) and not re.search(r"\w\s+\w|\$\(", content)
        if depth or not plain:
            raise Unparsable("arithmetic that may be something else")

    def _braces(self) -> None:
        begin = self._at
        while self._at < len(self._text):
            here = self._text[self._at]
            if here == "}":
                if self._text.endswith("@P", begin, self._at):
                    raise Unparsable("${…@P} runs the commands in a text")
                self._at += 1
                return
            if here == "\\":
                self._escaped()
            elif here in "$`":
                self._expansion()
            elif here == "'":
                raise Unparsable("shells disagree about ' in ${…}")
            elif here == '"':
                self._at += 1
                self.quoted_text('"')
            else:
                self._at += 1
        raise Unparsable("a ${ is not closed")
