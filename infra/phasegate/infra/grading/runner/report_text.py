"""Decode a report's bytes into text that an XML parser accepts, without losing the byte positions.

Called by `report_xml`. Characters that XML cannot hold are spelled as pytest spells them (`#x1B`), so a stray escape
sequence in a message does not hide a whole run. It must not know what a test is.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import ClassVar

_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
_ENCODINGS = {"utf-8", "ascii", "shift_jis", "cp932", "euc_jp", "gbk", "gb2312", "gb18030", "big5", "euc_kr", "cp949"}
_ISO = {"iso8859-1", "iso8859-2", "iso8859-5", "iso8859-7", "iso8859-9", "iso8859-15", "koi8-r", "koi8-u"}
_ONE_BYTE = _ISO | {f"cp{page}" for page in (437, 850, 852, 866, *range(1250, 1259))}
_DECLARATION = re.compile(r"\A[\ufeff\s]*<\?xml\s[^<>]{0,400}?\?>")
_DECLARED = re.compile(rb"\A\s*<\?xml\s[^<>]{0,300}?\sencoding\s*=\s*[\"']([^\"'<>]{0,80})[\"']")
_ILLEGAL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]"
_NUMBER = r"&#(?:x0*([0-9a-fA-F]{1,6})|0*([0-9]{1,7}));"
_REFERENCE = re.compile(_NUMBER)
_FOREIGN = re.compile(rf"{_ILLEGAL}|{_NUMBER}")
_UNPRINTED = (*range(0x9), 0xB, 0xC, *range(0xE, 0x20), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF)
_CONTROLS = {code: f"#x{code:02X}" for code in _UNPRINTED}
_SPELLINGS = _CONTROLS | {code: f"\\x{code - 0xDC00:02x}" for code in range(0xDC80, 0xDD00)}  # bytes that are no text
_LARGEST = 0x10FFFF


class ReportUnreadable(ValueError):
    """The report is not JUnit XML that may be read."""


@dataclass(frozen=True)
class ReportText:
    """A decoded report."""

    text: str
    """As decoded."""
    encoding: str
    """Python's name of the encoding."""

    BLANK: ClassVar[str] = " "

    def as_xml(self) -> str:
        """Return the text without its declaration and without characters that XML cannot hold."""
        text = _DECLARATION.sub(lambda declaration: re.sub(r"[^\n]", self.BLANK, declaration[0]), self.text)
        text = text.replace("\ufeff", self.BLANK, 1) if text[:1] == "\ufeff" else text
        return _REFERENCE.sub(_spelled, text.translate(_SPELLINGS))

    def byte_at(self, index: int) -> int:
        """Return the byte offset in the file of a character's index in `as_xml`."""
        shift = 0
        for match in _FOREIGN.finditer(self.text):
            if match.start() + shift >= index:
                break
            shift += len(_spelled(match)) - len(match[0])
        return len(self.text[: index - shift].encode(self.encoding, _errors(self.encoding)))


def decode(data: bytes, name: str) -> ReportText:
    """Decode a report by its byte order mark, or as its declaration says.

    A file that declares UTF-16 and begins with an ASCII declaration is UTF-8: .NET writes such files. A file that
    declares one of the single-byte encodings and is valid UTF-8 throughout is UTF-8, too.

    Args:
        data: The whole file.
        name: The file's name, for messages.

    Raises:
        ReportUnreadable: The encoding is not a text encoding of XML, or bytes are cut off.
    """
    encoding = next((encoding for mark, encoding in _BOMS if data.startswith(mark)), None) or _declared(data, name)
    if encoding == "utf-32":
        raise ReportUnreadable(f"{name}: encoding UTF-32 is refused (byte 0, line 1)")
    if encoding in _ONE_BYTE:
        try:
            return ReportText(data.decode(), "utf-8")
        except UnicodeDecodeError:
            pass  # it is what it declares
    try:
        return ReportText(data.decode(encoding, _errors(encoding)), encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].decode(encoding, "replace").count("\n") + 1
        raise ReportUnreadable(f"{name}: not {encoding}: {error.reason} (byte {error.start}, line {line})") from error


def _declared(data: bytes, name: str) -> str:
    declaration = _DECLARED.match(data)
    if declaration is None:
        return "utf-8"
    declared = declaration[1].decode("ascii", "replace")
    try:
        encoding = codecs.lookup(declared).name if re.fullmatch(r"[A-Za-z][\w.:-]{0,40}", declared, re.ASCII) else ""
    except LookupError:
        encoding = ""
    if encoding.startswith("utf-16"):
        return "utf-8"
    if encoding not in _ENCODINGS | _ONE_BYTE:
        line = data.count(b"\n", 0, declaration.start(1)) + 1
        raise ReportUnreadable(f"{name}: encoding {declared!r} is refused (byte {declaration.start(1)}, line {line})")
    return encoding


def _errors(encoding: str) -> str:
    return "surrogatepass" if encoding.startswith("utf-16") else "surrogateescape"


def _spelled(match: re.Match[str]) -> str:
    if match[0][0] != "&":
        return _SPELLINGS[ord(match[0])]
    code = int(match[1], 16) if match[1] else int(match[2])
    return f"#x{code:02X}" if code > _LARGEST or code in _SPELLINGS else match[0]
