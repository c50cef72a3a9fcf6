"""Where comments of a HuJSON policy go, and what describes which rule afterwards."""

from __future__ import annotations

from tailgit.importers.draft import judged
from tailgit.importers.notes import as_text
from tailgit.importers.people import People
from tailgit.importers.policy import import_policy
from tests.importers.worlds import DEVICES

POLICY = """\
// The policy of Example.
// Ask ops before you change it.
{
  // Who is who.
  "Groups": {
    "group:dev": ["ana@example.com", "ben@example.com"], // developers
    /* on call,
     * this month */
    "group:ops": [
      // the boss
      "kim@example.org",
    ],
  },
  "TagOwners": {"tag:db": ["group:ops"], "tag:web": []},

  "ACLs": [ // in order of importance
    // Developers reach the database,
    // and only that.
    {"action": "accept", "users": ["group:dev"], "ports": ["tag:db:5432"]},
    {
      // to be removed
      "action": "accept",
      "src": ["autogroup:members"],
      "dst": ["tag:web:80,443"], // the website
      "#ha-meta": {"open": true},
    }, // until March

    {"action": "accept", "src": ["group:ops"], "dst": ["*:*"]},
    // {"action": "accept", "src": ["*"], "dst": ["*:*"]},
  ],
}
// vim: ft=jsonc
"""

YAML = """\
# The policy of Example.
# Ask ops before you change it.

# Who is who.
groups:
  group:dev: [ana@example.com, ben@example.com]  # developers
  # on call,
  # this month
  group:ops:
    # the boss
    - kim@example.org

tagOwners:
  tag:db: [group:ops]
  tag:web: []

acls:  # in order of importance
  # Developers reach the database,
  # and only that.
  - {action: accept, src: [group:dev], dst: ["tag:db:5432"]}
  - action: accept
    # to be removed
    src: [autogroup:member]
    dst: ["tag:web:80,443"]  # the website
    # until March

  - {action: accept, src: [group:ops], dst: ["*:*"]}
  # {"action": "accept", "src": ["*"], "dst": ["*:*"]},
# vim: ft=jsonc
"""

NOTES = """\
p.hujson:5:3: changed: `Groups` is spelt `groups`
p.hujson:14:3: changed: `TagOwners` is spelt `tagOwners`
p.hujson:16:3: changed: `ACLs` is spelt `acls`
p.hujson:19:26: changed: `users` is spelt `src`
p.hujson:19:50: changed: `ports` is spelt `dst`
p.hujson:20:5: left-out: `#ha-meta` is the state of a web interface"""


def test_every_comment_keeps_its_place() -> None:
    """Above, behind, inside and at the end: each stays with what it is about."""
    made = import_policy(POLICY.encode(), "p.hujson")
    assert made.files["policy.yaml"].decode() == YAML
    assert as_text(made.notes) == NOTES


def test_rules_keep_their_descriptions_and_get_no_others() -> None:
    """A comment that described nothing describes nothing after the import."""
    described = []
    for name, data in (
        ("policy.hujson", POLICY.encode()),
        ("policy.yaml", import_policy(POLICY.encode(), "p").files["policy.yaml"]),
    ):
        loaded, _ = judged({"tailnet.yaml": DEVICES, name: data})
        tailnet = loaded.tailnet or loaded.partial
        assert tailnet is not None
        described.append([rule.description for rule in tailnet.rules])
    assert described[0] == described[1]
    assert described[0] == ["Developers reach the database, and only that.", "", ""]


def test_text_that_yaml_would_read_otherwise_is_quoted() -> None:
    """What a reader of YAML takes for a truth value, a number or nothing is text."""
    policy = """{"grants": [], "ssh": [{"action": "accept", "src": ["ana@example.com"],
      "dst": ["tag:db"], "users": ["no", "1", "null", "1e3", "a: b", "x #y", "é", ""]}]}
    """
    made = import_policy(policy.encode(), "p").files["policy.yaml"].decode()
    words = '["no", "1", "null", "1e3", "a: b", "x #y", "é", ""]'
    assert words in made.replace("\n        ", "")


def test_unknown_sections_are_kept_as_comments() -> None:
    """What tailgit does not know is named, and still there to be read."""
    policy = (
        '{"grants": [],\n  "futureThing": {\n    "x": 1, // why\n  },\n'
        "  // after\n} // }"
    )
    made = import_policy(policy.encode(), "p.hujson")
    assert made.files["policy.yaml"].decode() == (
        "grants: []\n# after\n# }\n\n# Not imported: futureThing\n"
        '# "futureThing": {\n#     "x": 1, // why\n#   }\n'
    )
    assert as_text(made.notes) == (
        "p.hujson:2:3: left-out: tailgit does not know the section `futureThing`\n"
        "  help: what it says does not hold here; it is kept as a comment"
    )


def test_rules_that_were_not_there_are_written_out() -> None:
    """Absent `acls` and `grants` allow everything; here only a rule does."""
    made = import_policy(b'{"groups": {}}', "p.hujson")
    assert made.files["policy.yaml"].decode() == (
        "groups: {}\n\ngrants:\n"
        "  # The policy had no rules at all, which allows everything.\n"
        '  - {src: ["*"], dst: ["*"], ip: ["*"]}\n'
    )
    assert [note.kind for note in made.notes] == ["changed"]
    for rules in (b'{"acls": []}', b'{"Grants": []}'):
        assert b"everything" not in import_policy(rules, "p").files["policy.yaml"]


def test_the_end_of_a_long_rule_does_not_describe_the_next() -> None:
    """A comment behind a rule that becomes a block keeps a blank line below it."""
    policy = """{"grants": [
      {"src": ["*"], // everybody
       "dst": ["tag:db"], "ip": ["22"]}, // not for long
      {"src": ["*"], "dst": ["tag:web"], "ip": ["80"]},
      {"src": ["*"], // everybody
       "dst": ["tag:db"], "ip": ["22"]}, // nor this
      // The website.
      {"src": ["*"], "dst": ["tag:web"], "ip": ["443"]},
    ]}"""
    text = import_policy(policy.encode(), "p").files["policy.yaml"]
    loaded, _ = judged({"tailnet.yaml": DEVICES, "policy.yaml": text})
    tailnet = loaded.tailnet or loaded.partial
    assert tailnet is not None
    described = [rule.description for rule in tailnet.rules]
    assert described == ["", "", "", "The website."]


def test_what_is_true_of_many_places_is_said_once() -> None:
    """The first place and the number; mistakes are each their own."""
    rule = '{"action": "accept", "users": ["tag:x"], "ports": ["*:*"]}'
    made = import_policy(f'{{"acls": [{rule}, {rule}]}}'.encode(), "p")
    said = as_text(made.notes)
    assert "p:1:32: changed: `users` is spelt `src` (2 times)" in said
    assert said.count("mistake: ") == 2


def test_login_names_are_no_people() -> None:
    """`alice@` as a login name on a host is left alone."""
    policy = """{"grants": [], "groups": {"group:a": ["bob"]}, "ssh": [{
      "action": "accept", "src": ["alice@"], "dst": ["tag:db"],
      "users": ["alice@"]}]}"""
    made = import_policy(policy.encode(), "p", People("acme.com")).files["policy.yaml"]
    assert b"src: [alice@acme.com]" in made
    assert b'users: ["alice@"]' in made
    assert b"group:a: [bob@acme.com]" in made
