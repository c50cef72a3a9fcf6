"""Fields that stand for nothing: the only ones whose change no report names.

Each has its reason. A field that is not here and not known otherwise is named by its
own name, so that a new field of the schemas is never passed over in silence.
"""

from __future__ import annotations

MEANS_NOTHING = {
    "devices.*.description": "a remark for people",
    "users.*.name": "what a person is called in reports; rules know the login",
    "generated.at": "when a program wrote the file; what it wrote is compared",
    "acls[].name": "what a rule is called in reports",
    "grants[].name": "what a rule is called in reports",
    "ssh[].name": "what a rule is called in reports",
    "acls[].action": "it has one value, `accept`; rules only allow",
    "tailnet.format": "it has one value, 1",
}
"""By the path of the field in the schemas; `*` is any name, `[]` any entry."""
