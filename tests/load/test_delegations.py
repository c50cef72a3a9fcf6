"""Delegations: whatever a folder says beyond its delegation is named, and nothing else.

Each case is one thing that a team could write into its own file to gain more than its
folder was given, beside the same thing within the bounds.
"""

from __future__ import annotations

import json
from ipaddress import IPv4Network
from itertools import count
from pathlib import Path

import pytest

from tailgit.load import load
from tailgit.load.delegation import GLOBS, POWERS, USER_POWERS
from tailgit.load.shape import schemas
from tailgit.model.addresses import ipv4_of
from tests.load.files import HEAD, committed, write

ROOT = """\
tailnet:
  {format: 1, name: acme, domain: acme.internal, ipv4: 100.64.0.0/10, ipv6: "fd5c::/48"}
delegations:
  teams/data/:
    sections: [devices, grants, acls, tests, groups, hosts, tagOwners, users,
      autoApprovers.routes, dns.records]
    devices: "data-*"
    tags: ["tag:data-*", tag:etl]
    owners: "*@data.example"
    dst: ["tag:data-*", "da*", tag:etl, wiki, "group:*"]
    users: ["*@data.example"]
    groups: "group:data-*"
    hosts: ["data-*"]
    routes: [10.40.0.0/16, "fd40::/32"]
    records: ["data-*"]
    fields: [relaySlot]
"""
CENTRAL = """\
users: {ana@acme.com: {}, data-boss@acme.com: {}}
groups: {group:dba: [ana@acme.com]}
tagOwners: {tag:db: [], tag:etl: []}
hosts: {wiki: 10.9.9.9, data-lie: 10.9.9.8, data-net: 10.40.7.0/24}
devices: {db-1: {tags: [tag:db]}, dash-1: {tags: [tag:db]}}
grants: []
"""

TRANSLATED = """\
devices:
  data-1: {tags: [tag:etl], routes: [{prefix: 10.40.0.0/24, as: 10.9.0.0/24}]}
"""
OWN_GROUP = """\
groups: {group:data-me: [ana@acme.com]}
grants: [{src: [tag:etl], dst: ['group:data-me'], ip: ['*']}]
"""

INSIDE = [
    "devices: {data-1: {tags: [tag:etl]}}",
    "tagOwners: {tag:data-x: []}\ndevices: {data-1: {tags: [tag:data-x]}}",
    "users: {bo@data.example: {}}\ndevices: {data-1: {owner: bo@data.example}}",
    "devices: {data-1: {tags: [tag:etl], routes: [10.40.1.0/24], relaySlot: 3}}",
    "deviceDefaults: {tags: [tag:etl]}\ndevices: {data-1: {}}",
    "grants: [{src: ['*'], dst: [tag:etl], ip: ['*']}]",
    "grants: [{src: ['*'], dst: ['10.40.3.0/24'], ip: ['*']}]",
    "grants: [{src: ['*'], dst: [wiki], ip: ['*']}]",
    "grants: [{src: ['*'], dst: [data-net], ip: ['*']}]",
    "grants: [{src: ['*'], dst: [dash-1], ip: ['*']}]",
    "devices: {data-7: {tags: [tag:etl]}}\ngrants: [{src: [], dst: [data-7], ip: []}]",
    "grants: [{src: ['*'], dst: ['group:dba'], ip: ['*']}]",
    "acls: [{action: accept, src: ['*'], dst: ['tag:etl:22', '[fd40::1]:80']}]",
    "groups: {group:data-team: [ana@acme.com]}",
    "hosts: {data-lb: 10.40.0.7}",
    "autoApprovers: {routes: {10.40.0.0/17: [tag:etl]}}",
    "dns: {records: [{name: data-api, type: A, value: 10.40.0.7}]}",
    "tests: [{src: db-1, deny: ['db-1:22']}]",
]

OUTSIDE = [
    ("ssh: []", "have the section `ssh`"),
    ("users: {bo@data.example: {role: admin}}", "set `role` of a user"),
    ("users: {bo@data.example: {forge: ana-l}}", "set `forge` of a user"),
    ("dns: {nameservers: [192.0.2.1]}", "have the section `dns.nameservers`"),
    (
        "autoApprovers: {exitNode: [tag:etl]}",
        "the section `autoApprovers.exitNode`",
    ),
    ("guardrails: []", "have the section `guardrails`"),
    ("delegations: {}", "have the section `delegations`"),
    ("devices: {db-2: {tags: [tag:etl]}}", "define the device `db-2`"),
    ("devices: {data-1: {tags: [tag:db]}}", "put `tag:db` on a device"),
    ("devices: {data-1: {owner: ana@acme.com}}", "give a device to `ana@acme.com`"),
    ("deviceDefaults: {tags: [tag:db]}\ndevices: {data-1: {}}", "put `tag:db` on a"),
    ("devices: {data-1: {tags: [tag:etl], routes: [10.41.0.0/24]}}", "10.41.0.0/24"),
    ("devices: {data-1: {tags: [tag:etl], routes: [10.40.0.0/15]}}", "10.40.0.0/15"),
    (TRANSLATED, "carry the subnet 10.9.0.0/24"),
    *(
        (
            f"devices: {{data-1: {{tags: [tag:etl], {key}: {value}}}}}",
            f"set `{key}`",
        )
        for key, value in {
            "ipv4": "100.64.7.7",
            "ipv6": '"fd5c::7"',
            "formerly": "[db-1]",
            "exitNode": "true",
            "relay": "true",
            "mailbox": "true",
            "gateway": "db-1",
            "useExitNode": "db-1",
            "attributes": '{"custom:managed": true}',
        }.items()
    ),
    (
        "deviceDefaults: {relay: true}\ndevices: {data-1: {tags: [tag:etl]}}",
        "set `relay`",
    ),
    ("grants: [{src: ['*'], dst: [tag:db], ip: ['*']}]", "open `tag:db`"),
    ("grants: [{src: ['*'], dst: ['*'], ip: ['*']}]", "open `*`"),
    ("grants: [{src: ['*'], dst: [' tag:db '], ip: ['*']}]", "open ` tag:db `"),
    ("grants: [{src: ['*'], dst: [ana@acme.com], ip: ['*']}]", "open `ana@acme.com`"),
    ("grants: [{src: [], dst: [data-boss@acme.com], ip: ['*']}]", "data-boss@acme"),
    ("grants: [{src: ['*'], dst: [10.9.9.9], ip: ['*']}]", "open `10.9.9.9`"),
    ("grants: [{src: ['*'], dst: [100.64.0.9], ip: ['*']}]", "open `100.64.0.9`"),
    ("grants: [{src: ['*'], dst: [data-lie], ip: ['*']}]", "open `data-lie`"),
    (OWN_GROUP, "open `group:data-me`"),
    ("acls: [{action: accept, src: ['*'], dst: ['tag:db:22']}]", "open `tag:db:22`"),
    ("acls: [{action: accept, src: ['*'], dst: ['*:*']}]", "open `*:*`"),
    ("groups: {group:dba2: []}", "define the group `group:dba2`"),
    ("users: {eve@acme.com: {}}", "define the user `eve@acme.com`"),
    ("tagOwners: {tag:root: []}", "define the tag `tag:root`"),
    ("hosts: {lb: 10.40.0.7}", "define the host alias `lb`"),
    ("hosts: {data-lb: 10.9.9.9}", "name the address `10.9.9.9`"),
    (
        "autoApprovers: {routes: {10.0.0.0/8: [tag:etl]}}",
        "routes in 10.0.0.0/8",
    ),
    ("dns: {records: [{name: www, type: A, value: 10.40.0.7}]}", "the name `www`"),
]


def said(tmp_path: Path, text: str, file: str = "teams/data/all.yaml") -> list[str]:
    """What is said of delegations when a team's file holds `text`."""
    write(tmp_path, {"tailnet.yaml": ROOT, "central.yaml": CENTRAL, file: text})
    findings = load(tmp_path).findings
    return [f.message for f in findings if f.code.endswith("delegation")]


@pytest.mark.parametrize("text", INSIDE)
def test_within_the_delegation(tmp_path: Path, text: str) -> None:
    """What a folder was given, it may say."""
    assert said(tmp_path, text) == []


@pytest.mark.parametrize(("text", "what"), OUTSIDE)
def test_beyond_the_delegation(tmp_path: Path, text: str, what: str) -> None:
    """What it was not given is an error, one for each such thing, in words."""
    messages = said(tmp_path, text)
    assert len(messages) == 1
    assert "the files in `teams/data/` may not " in messages[0]
    assert what in messages[0]


@pytest.mark.parametrize(("text", "what"), OUTSIDE)
def test_elsewhere_it_is_allowed(tmp_path: Path, text: str, what: str) -> None:  # noqa: ARG001
    """The same text in a folder that nothing delegates is nobody's business."""
    write(tmp_path, {"teams/data/a.yaml": "groups: {}"})
    if "delegations" not in text:
        assert said(tmp_path, text, "teams/other/all.yaml") == []


def test_no_tailnet_of_their_own(tmp_path: Path) -> None:
    """A tailnet.yaml further down would hide what lies beside it from this check."""
    inner = HEAD.replace("acme", "inner")
    write(tmp_path, {"teams/data/x/tailnet.yaml": inner, "teams/data/x/a.yaml": "x: 1"})
    (message,) = said(tmp_path, "tests: []")
    assert "begin a tailnet of their own" in message


TRAP = IPv4Network("100.100.0.0/18")
TRAPS = {
    "hosts": "hosts: {lan: 100.100.0.0/18}\ngrants: []\n",
    "rule": "grants: [{src: [100.100.0.0/18], dst: [db-1], ip: ['tcp:22']}]\n",
}


@pytest.mark.parametrize("where", TRAPS)
def test_a_name_tried_until_its_address_fits(tmp_path: Path, where: str) -> None:
    """An address follows from a name; it may not be one that an outer rule means."""
    pool = IPv4Network("100.64.0.0/10")
    names = (f"data-{number}" for number in count())
    name = next(each for each in names if ipv4_of("acme", each, pool) in TRAP)
    kept = [line for line in CENTRAL.splitlines() if not line.startswith(("ho", "gr"))]
    files = {
        "tailnet.yaml": ROOT.replace(", wiki,", ","),
        "central.yaml": "\n".join(kept) + f"\n{TRAPS[where]}",
        "teams/data/a.yaml": f"devices: {{{name}: {{tags: [tag:etl]}}}}",
    }
    write(tmp_path, files)
    (found,) = [f for f in load(tmp_path).findings if f.code == "outside-delegation"]
    assert found.place.file == "teams/data/a.yaml"
    assert f"have a device with {ipv4_of('acme', name, pool)}" in found.message


def test_what_nodes_do_not_get_is_an_error_there(tmp_path: Path) -> None:
    """A warning would let a team stop everybody's plan behind a green check."""
    route = "{prefix: 10.40.0.0/24, as: 10.40.1.0/24}"
    text = f"devices: {{data-1: {{tags: [tag:etl], routes: [{route}]}}}}"
    for file, severity in (("teams/data/a.yaml", "error"), ("b.yaml", "warning")):
        folder = tmp_path / severity
        write(folder, {"tailnet.yaml": ROOT, "central.yaml": CENTRAL})
        write(folder, {"teams/data/z.yaml": "tests: []", file: text})
        (found,) = [f for f in load(folder).findings if f.code == "not-applied"]
        assert str(found.severity) == severity


def test_json_is_no_way_out(tmp_path: Path) -> None:
    """A JSON file of the folder is bound as well."""
    text = json.dumps({"grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}]})
    assert len(said(tmp_path, text, "teams/data/all.json")) == 1


def test_the_place_is_the_value(tmp_path: Path) -> None:
    """The finding stands where the value stands, and names the delegation."""
    text = "deviceDefaults:\n  relay: true\ndevices: {data-1: {tags: [tag:etl]}}\n"
    said(tmp_path, text)
    (found,) = [f for f in load(tmp_path).findings if f.code == "outside-delegation"]
    assert str(found.place) == "teams/data/all.yaml:2:3"
    assert [str(place) for place in found.see] == ["tailnet.yaml:4:3"]


def test_the_longest_folder_decides(tmp_path: Path) -> None:
    """A delegation inside another one replaces it."""
    more = "  teams/data/etl/: {sections: [groups], groups: 'group:etl-*'}\n"
    files = {
        "tailnet.yaml": ROOT + more,
        "central.yaml": CENTRAL,
        "teams/data/etl/a.yaml": "groups: {group:etl-x: [], group:data-x: []}",
        "teams/data/b.yaml": "groups: {group:etl-y: []}",
    }
    write(tmp_path, files)
    found = [f for f in load(tmp_path).findings if f.code == "outside-delegation"]
    assert [(f.place.file, f.message.split("`")[3]) for f in found] == [
        ("teams/data/b.yaml", "group:etl-y"),
        ("teams/data/etl/a.yaml", "group:data-x"),
    ]


def test_a_closed_parent(tmp_path: Path) -> None:
    """A new team's folder can be closed before anybody thinks of it."""
    files = {
        "tailnet.yaml": ROOT + "  teams/: {sections: []}\n",
        "central.yaml": CENTRAL,
        "teams/data/a.yaml": "tests: []",
        "teams/new/b.yaml": "tests: []",
    }
    write(tmp_path, files)
    found = [f for f in load(tmp_path).findings if f.code == "outside-delegation"]
    assert [f.place.file for f in found] == ["teams/new/b.yaml"]


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("team/data/", "no file of the tailnet lies in `team/data/`"),
        ("./teams/data/", "`./teams/data/` is not how a folder is written"),
        ("teams//data/", "is not how a folder is written"),
        ("teams/../teams/data/", "is not how a folder is written"),
    ],
)
def test_a_folder_that_is_none(tmp_path: Path, folder: str, why: str) -> None:
    """A path that matches nothing would leave the folder that was meant unbounded."""
    files = {
        "tailnet.yaml": ROOT.replace("teams/data/", folder),
        "central.yaml": CENTRAL,
        "teams/data/a.yaml": "groups: {}",
    }
    write(tmp_path, files)
    (found,) = [f for f in load(tmp_path).findings if f.code == "bad-delegation"]
    assert why in found.message


def test_files_beside_the_root(tmp_path: Path) -> None:
    """An included file outside of the root can be delegated, too."""
    files = {
        "prod/tailnet.yaml": ROOT.replace("teams/data/", "../shared/")
        + "include: [../shared/people.yaml]\n",
        "prod/central.yaml": CENTRAL,
        "shared/people.yaml": "groups: {group:dba2: []}",
    }
    repo = committed(tmp_path / "repo", files)
    found = [f for f in load(repo / "prod").findings if "delegation" in f.code]
    assert [f.message for f in found if "group:dba2" in f.message] != []


def test_the_schema_knows_the_same_fields() -> None:
    """Every pattern and every power of the code can be written, and no other."""
    about = schemas()["delegations.schema.json"]["additionalProperties"]["properties"]
    assert set(about) == {*GLOBS, "sections", "routes", "fields"}
    assert set(about["fields"]["items"]["enum"]) == {*POWERS, *USER_POWERS}
