"""What the name of a camera, which is also that of its view, may be."""

import re

CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that no name or text has: controls, separators of lines, directions of text, half characters."""
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_LONGEST = 200


def name_fault(name: object) -> str | None:
    """Return why a text cannot be the name of a camera or its view, or None: a name is also part of the names of files.

    Refused: separators of paths, control characters, names that Windows keeps for devices or drives, dots or spaces at
    an end that it strips, more than 200 bytes. All else is only a name: ``cam$_$``, ``<b>``, ``Küche 2``.
    """
    if not isinstance(name, str) or not name:
        return "is no text; write it in quotes"
    if CONTROLS.search(name):
        return "has control characters"
    if "/" in name or "\\" in name or name in (".", ".."):
        return "is a path; a name has no / or \\"
    if re.match("[A-Za-z]:", name) or _DEVICES.fullmatch(name):
        return "is a drive or a device on Windows"
    if name != name.strip() or name.endswith("."):
        return "begins or ends with a space, or ends with a dot"
    return f"is longer than {_LONGEST} bytes" if len(name.encode()) > _LONGEST else None
