"""Parser of command lines, as a POSIX shell reads them: lists, pipes, groups, loops, substitutions.

Called by `programs`. Whatever it does not understand it says so by `Unparsable`, never by leaving something out: the
caller then takes the stricter view. It must not know which commands are allowed. Source: POSIX.1-2017, XCU chapter 2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from phasegate.infra.command_rules.shell_words import SimpleCommand, Unparsable, Word, WordReader

_LEADING = frozenset({"if", "then", "elif", "else", "fi", "while", "until", "do", "done", "{", "}", "!"})
_NOT_READ = frozenset({"function", "select", "coproc"})
_ARRAY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_GAP = re.compile(r"[ \t]+|\\\n|#[^\n]*")
"""Blanks, a line that goes on, a comment."""
_END_OF_CASE = re.compile(r"esac(?=[\s;&|)<>]|$)")


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


class _Reader(WordReader):
    def __init__(self, text: str, depth: int) -> None:
        super().__init__(text, depth)
        self._cases = 0
        self._heredocs: list[_Heredoc] = []
        self._waiting: list[_Draft] = []

    def script(self, until: str) -> None:
        """Read up to the closing character, or to the end."""
        draft = _Draft()
        while self._at < len(self._text):
            here = self._text[self._at]
            if gap := _GAP.match(self._text, self._at):
                self._require_one_line(gap[0])
                self._at = gap.end()
            elif here == ")" and until == ")":
                self._at += 1
                break
            elif here in ";&|\n":
                draft = self._separator(draft)
            elif here in "()":
                draft = self._parenthesis(draft)
            elif here in "<>":
                self._redirection(draft)
            else:
                self._take_word(draft)
        else:
            if until:
                raise Unparsable(f"{until} is missing")
        if self._heredocs:
            raise Unparsable("a here-document has no end")
        if self._cases:
            raise Unparsable("a case has no esac")
        self._end(draft)

    def _separator(self, draft: _Draft) -> _Draft:
        here = self._text[self._at]
        if self._cases and (end := re.compile(r";;&|;;|;&").match(self._text, self._at)):
            self._at = end.end()
            self._end(draft)
            self._patterns()
            return _Draft()
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
        if draft.words and self._text[self._at - 1] == "=" and _ARRAY.fullmatch(draft.words[-1].text):
            self._array(draft)
            return draft
        if draft.words:
            if not re.compile(r"\(\s*\)").match(self._text, self._at) or len(draft.words) != 1:
                raise Unparsable("a ( stands where none is expected")
            self._at = self._text.index(")", self._at) + 1  # a function's head: its body is read like any other
            return _Draft()
        self._at += 1
        self._nested(draft)
        return draft

    def _array(self, draft: _Draft) -> None:
        """Read the elements of an array, as bash has them."""
        draft.words[-1] = Word(draft.words[-1].text, literal=False)
        self._at += 1
        self._skip_lines()
        while not self._text.startswith(")", self._at):
            begin = self._at
            self._word()
            if self._at == begin:
                raise Unparsable("an array is not closed")
            self._skip_lines()
        self._at += 1

    def _case(self) -> None:
        """Read the head of a `case`, up to the commands of its first patterns."""
        self._skip_lines()
        self._word()
        self._skip_lines()
        if self._word() != Word("in"):
            raise Unparsable("a case has no in")
        self._cases += 1
        self._patterns()

    def _patterns(self) -> None:
        """Read the patterns before commands of a `case`; none before its end."""
        self._skip_lines()
        if _END_OF_CASE.match(self._text, self._at):
            return
        self._at += self._text.startswith("(", self._at)
        while True:
            self._skip_blanks()
            begin = self._at
            self._word()
            self._require_one_line(self._text[begin : self._at])
            self._skip_blanks()
            end = self._text[self._at : self._at + 1]
            if begin == self._at or end not in {"|", ")"}:
                raise Unparsable("patterns of a case are not closed")
            self._at += 1
            if end == ")":
                return

    def _skip_lines(self) -> None:
        """Pass over blanks, ends of lines and comments."""
        while (gap := _GAP.match(self._text, self._at)) or self._text.startswith("\n", self._at):
            if gap:
                self._require_one_line(gap[0])
                self._at = gap.end()
            else:
                self._at += 1
                self._read_heredocs()

    def _read_script(self, text: str) -> None:
        inner = _Reader(text, self._depth + 1)
        inner.script("")
        self.commands += inner.commands

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
            if raw == "case":
                self._case()
                return
            if raw == "esac":
                self._cases -= 1
                if self._cases < 0:
                    raise Unparsable("an esac closes nothing")
                draft.skipped = True
                return
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
