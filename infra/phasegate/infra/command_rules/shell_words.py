"""Words of a command line, as a POSIX shell reads them: quotes, expansions, substitutions.

Called by `shell`, which reads the commands that the words belong to, and those in substitutions. Source: POSIX.1-2017,
XCU 2.2 and 2.6.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass

_META = frozenset(" \t\n|&;()<>")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-]")
_ARITHMETIC = re.compile(r"[\w\s+\-*/%<>=!&|^~?:,()$]*")


LONGEST_COMMAND = 100_000
"""Characters of the longest command line that is read; Linux takes no argument of 128 KiB. Source: execve(2)."""
_MOST_WORDS = 10_000
_MAX_DEPTH = 40


class Unparsable(Exception):
    """The command line cannot be read with certainty."""


def require_readable_length(text: str) -> None:
    """Require that a command line is not longer than one that can run.

    Raises:
        Unparsable: It is.
    """
    if len(text) > LONGEST_COMMAND:
        raise Unparsable(f"it is longer than {LONGEST_COMMAND} characters")


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


class WordReader(ABC):
    """Reader of words from a place in a text; `commands` are those in their substitutions."""

    def __init__(self, text: str, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise Unparsable("it is nested too deeply")
        self._text, self._at, self._depth = text, 0, depth
        self._words = 0
        self.commands: list[SimpleCommand] = []

    @abstractmethod
    def _nested(self) -> None:
        """Read the commands up to the closing parenthesis."""

    @abstractmethod
    def _read_script(self, text: str) -> None:
        """Read the commands of a text of their own."""

    def _skip_blanks(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in " \t":
            self._at += 1

    def _word(self) -> Word:
        self._words += 1
        if self._words > _MOST_WORDS:
            raise Unparsable(f"it has more than {_MOST_WORDS} words")
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
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise Unparsable("it is nested too deeply")
        is_more = self._expanded()
        self._depth -= 1
        return is_more

    def _expanded(self) -> bool:
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
        self._read_script(re.sub(r"\\([\\`$])", r"\1", match[1]))

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
