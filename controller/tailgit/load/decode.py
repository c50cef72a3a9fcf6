"""From bytes to text that every reader sees alike.

What a reviewer sees must be what the parser reads. YAML 1.1 ends a line at NEL, LS,
PS and a lone CR as well, where an editor and a forge show one line: a comment could
hide a rule. A bidi control makes a line look like another one. Those are refused, and
so are control characters and other encodings.
"""

from __future__ import annotations

import re

from tailgit.model.codes import finding
from tailgit.model.findings import Finding, Place
from tailgit.model.text import shown

MAX_FILE_BYTES = 8 << 20

_REFUSED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff"
    "\u202a-\u202e\u2066-\u2069]|\r(?!\n)"
)
_PLAIN_ASCII = bytes([0x09, 0x0A, *range(0x20, 0x7F)])
_CONFLICT = re.compile(r"^<{7}(?: |\r?$)", re.MULTILINE)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def decode(data: bytes, file: str, findings: list[Finding]) -> str | None:
    """The text of a file without a byte order mark, or None and a finding."""
    if is_too_large(len(data), file, findings):
        return None
    if data[:2] in _UTF16 or b"\x00" in data[:4]:
        findings.append(
            finding(
                "bad-encoding",
                Place(file),
                "the file is not UTF-8 but looks like UTF-16 or UTF-32",
                "save it as UTF-8",
            )
        )
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        findings.append(
            finding(
                "bad-encoding",
                _place_of(data[: error.start].decode("utf-8-sig", "replace"), file),
                f"byte 0x{data[error.start]:02x} is not UTF-8",
                "save the file as UTF-8",
            )
        )
        return None
    conflict = _CONFLICT.search(text) if "<<<<<<<" in text else None
    if conflict:
        findings.append(
            finding(
                "bad-json" if file.endswith((".json", ".hujson")) else "bad-yaml",
                _place_of(text[: conflict.start()], file),
                "an unresolved merge conflict begins here",
                "keep what belongs there of both sides, and take the lines `<<<<<<<`, "
                "`=======` and `>>>>>>>` out",
            )
        )
        return None
    if text.isascii() and not data.translate(None, _PLAIN_ASCII):
        return text
    refused = _REFUSED.search(text)
    if refused:
        findings.append(
            finding(
                "bad-character",
                _place_of(text[: refused.start()], file),
                f"the character `{shown(refused.group())}` may not stand in a file",
                "take it out; lines end with LF or CR LF",
            )
        )
        return None
    return text


def is_too_large(size: int, file: str, findings: list[Finding]) -> bool:
    """Whether a file has too many bytes to be read; it then has a finding."""
    if size <= MAX_FILE_BYTES:
        return False
    message = f"{size >> 20} MiB; a file may have {MAX_FILE_BYTES >> 20}"
    help_ = "split it: the files of a tailnet are read as one"
    findings.append(finding("too-large", Place(file), message, help_))
    return True


def _place_of(before: str, file: str) -> Place:
    """The place that comes right after the text `before`."""
    return Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
