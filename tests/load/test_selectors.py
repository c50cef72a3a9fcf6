"""Selectors and rules: what parses to what, and Tailscale's sentences."""

from __future__ import annotations

import pytest

from tailgit.model.findings import Place
from tailgit.model.policy import App
from tailgit.model.ports import Ports, parse_ip
from tailgit.model.selectors import Kind, SelectorError, parse_selector
from tests.load.policies import errors, sentences, tailnet_of

SELF = "autogroup:self can only be used with users, groups, or supported autogroups"

FOREIGN = (
    "is not associated with this Tailnet and cannot be used in user:*@<domain> "
    "expressions"
)


def grant(src: str = "*", dst: str = "db-1", more: str = 'ip: ["22"]') -> str:
    comma = ", " if more else ""
    return f'grants: [{{src: ["{src}"], dst: ["{dst}"]{comma}{more}}}]\n'


def acl(src: str = "*", dst: str = "db-1:22", more: str = "") -> str:
    return f'acls: [{{action: accept, src: ["{src}"], dst: ["{dst}"]{more}}}]\n'


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("*", Kind.ANY),
        ("ana@acme.com", Kind.USER),
        ("group:dev", Kind.GROUP),
        ("tag:db", Kind.TAG),
        ("db-1", Kind.DEVICE),
        ("srv", Kind.HOST),
        ("10.0.0.1", Kind.PREFIX),
        ("10.0.0.1/8", Kind.PREFIX),
        ("fd00::1", Kind.PREFIX),
        ("FD00::/8", Kind.PREFIX),
        ("autogroup:member", Kind.MEMBER),
        ("autogroup:tagged", Kind.TAGGED),
        ("autogroup:self", Kind.SELF),
        ("autogroup:internet", Kind.INTERNET),
        ("autogroup:danger-all", Kind.DANGER_ALL),
        ("autogroup:shared", Kind.SHARED),
        ("autogroup:owner", Kind.ROLE),
        ("autogroup:admin", Kind.ROLE),
        ("autogroup:it-admin", Kind.ROLE),
        ("autogroup:network-admin", Kind.ROLE),
        ("autogroup:billing-admin", Kind.ROLE),
        ("autogroup:auditor", Kind.ROLE),
        ("user:*@acme.com", Kind.DOMAIN),
        ("ipset:office", Kind.IPSET),
    ],
)
def test_every_kind_of_selector(text: str, kind: Kind) -> None:
    """Blanks around it don't count, and it prints as it is written."""
    for written in (text, f" {text} "):
        selector = parse_selector(written, devices={"db-1"}, hosts={"srv"})
        assert (selector.kind, str(selector)) == (kind, text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("autogroup:members", "unknown-autogroup"),
        ("autogroup:", "unknown-autogroup"),
        ("user:ana@acme.com", "bad-domain"),
        ("user:*@", "bad-domain"),
        ("user:*@a@b", "bad-domain"),
        ("db-2", "unknown-name"),
        ("", "unknown-name"),
        ("10.0.0.0/33", "unknown-name"),
        ("10.0.0.0/08", "unknown-name"),
        ("10.0.0.0/255.0.0.0", "unknown-name"),
        ("fe80::1%eth0", "unknown-name"),
    ],
)
def test_what_is_no_selector(text: str, code: str) -> None:
    """Each mistake has its code; an address in a form of its own is none."""
    with pytest.raises(SelectorError) as raised:
        parse_selector(text, devices={"db-1"}, hosts={"srv"})
    assert raised.value.code == code


REJECTED = [
    (grant("tag:x"), "unknown-tag", 'src=tag not found: "tag:x"'),
    (acl("tag:x"), "unknown-tag", 'src=tag not found: "tag:x"'),
    (acl(dst="tag:x:22"), "unknown-tag", 'dst="tag:x": tag not found: "tag:x"'),
    (grant(dst="tag:x"), "unknown-tag", 'dst="tag:x": tag not found: "tag:x"'),
    (
        grant("autogroup:self"),
        "autogroup-not-here",
        '"autogroup:self" not valid on the src side of a rule',
    ),
    (
        grant("autogroup:internet"),
        "autogroup-not-here",
        "autogroup:internet can only be used in ACL destinations",
    ),
    (
        acl(dst="autogroup:danger-all:*"),
        "autogroup-not-here",
        "cannot use autogroup:danger-all as a dst",
    ),
    *(
        (grant(src, "autogroup:self"), "self-source", SELF)
        for src in ("*", "tag:db", "autogroup:tagged", "srv", "10.0.0.1", "db-1")
    ),
    (acl("tag:db", "autogroup:self:22"), "self-source", SELF),
    (
        grant(dst="0.0.0.0/0"),
        "whole-internet",
        'dst "0.0.0.0/0": to allow all IP addresses, use "*" or "autogroup:internet"',
    ),
    (
        grant(dst="::/0", more="app: {acme.com/x: []}"),
        "whole-internet",
        'dst "::/0": to allow all IP addresses, use "*" or "autogroup:internet"',
    ),
    *(
        (grant(more=more), "empty-grant", "ip and app can not both be empty")
        for more in ("", "ip: []", "app: {}", "ip: [], app: {}")
    ),
    (
        grant(more="ip: [icmp]"),
        "bad-port",
        'port range "icmp": invalid first integer',
    ),
    (
        grant(more='ip: ["tcp:0"]'),
        "bad-port",
        "port range \"0\": first port must be >0, or use '*' for wildcard",
    ),
    (
        acl(dst="tag:db:ssh"),
        "bad-port",
        'dst="tag:db:ssh": port range "ssh": invalid first integer',
    ),
    (
        acl("kim@acme.com", "autogroup:self"),
        "bad-port",
        'dst="autogroup:self": port range "self": invalid first integer',
    ),
    (
        acl().replace("accept", "deny"),
        "bad-action",
        'action="deny" is not supported',
    ),
    (
        grant(dst="10.9.0.0/16", more='ip: ["*"], via: [autogroup:tagged]'),
        "bad-via",
        "via can only be a tag",
    ),
    (
        grant(dst="10.9.0.0/16", more='ip: ["*"], via: ["tag:x"]'),
        "unknown-tag",
        'tag "tag:x" not found',
    ),
    *(
        (
            grant(more=f'app: {{"{name}": [{{}}]}}'),
            "bad-app",
            "capability name must have the form {domain}/{path}",
        )
        for name in ("https://acme.com/x", "acme.com", "x/y", "/x")
    ),
    (
        grant(more="app: {tailscale.com/cap/funnel: [{}]}"),
        "bad-app",
        "capability name must not be in the tailscale.com domain",
    ),
    (
        grant(dst="autogroup:internet", more="app: {acme.com/x: [{}]}"),
        "bad-app",
        "cannot use app grants with autogroup:internet",
    ),
    (
        grant("user:*@acme.org"),
        "bad-domain",
        f"acme.org {FOREIGN}",
    ),
    (
        grant("user:*@ACME.com"),
        "bad-domain",
        f"ACME.com {FOREIGN}",
    ),
    (
        "grants: []\ngroups: {group:a: ['group:dev']}\n",
        "nested-group",
        'groups["group:a"]: "group:dev": group members cannot be recursive',
    ),
    (
        "grants: []\ntagOwners: {tag:сервер: []}\n",
        "bad-tag",
        "tagOwners[\"tag:сервер\"]: tag names must start with a letter, after 'tag:'",
    ),
    (
        "grants: []\nnodeAttrs: [{target: ['%bogus%'], attr: [x]}]\n",
        "unknown-name",
        '"%bogus%": invalid address',
    ),
    (
        "grants: []\nnodeAttrs: [{target: ['tag:x'], attr: [x]}]\n",
        "unknown-tag",
        'tag not found: "tag:x"',
    ),
    (
        "grants: []\nnodeAttrs: [{target: ['*'], ipPool: [100.100.100.0/24]}]\n",
        "bad-attribute",
        "IPPool(100.100.100.0/24): network within reserved range",
    ),
]


@pytest.mark.parametrize(("policy", "code", "message"), REJECTED)
def test_tailscales_own_sentences(policy: str, code: str, message: str) -> None:
    """What its control plane answers is what is said, so that people can search it."""
    assert sentences(policy) == [(code, message)]


@pytest.mark.parametrize(
    "policy",
    [
        grant("autogroup:member", "autogroup:self"),
        grant("autogroup:admin", "autogroup:self"),
        acl("*", "autogroup:self:*"),
        acl("group:none"),
        acl("10.77.0.1", "127.0.0.1/32:22"),
        acl(dst="10.88.0.0/16:22"),
        acl(dst="fd00::1/128:443"),
        acl(dst="[fd00::1]/64:443"),
        acl(dst="tag:db:22,80-90,443"),
        acl(dst="db-1:*", more=", proto: GRE"),
        acl("tag:db ", " srv:22"),
        "acls: [{action: accept, src: [], dst: []}]",
        "grants: [{src: [], dst: [], ip: ['*']}]",
        grant("autogroup:danger-all"),
        grant("autogroup:shared"),
        grant("user:*@acme.com"),
        grant("kim@acme.com", "autogroup:internet"),
        grant(dst="10.9.0.0/16", more='ip: ["*"], via: [tag:web]'),
        grant(dst="10.9.0.0/16", more='ip: ["*"], via: null'),
        grant(more='ip: ["47", "47:*", "icmp:*"]'),
        grant(more="app: {tailscale.com/cap/drive: [{shares: ['*']}]}"),
        "grants: []\nnodeAttrs: []\n",
        "grants: []\nnodeAttrs: [{target: [tag:db]}]\n",
        "grants: []\nnodeAttrs: [{target: [autogroup:owner, lan], attr: [funnel]}]\n",
        "grants: []\ngroups: {group:x: []}",
        "grants: []\ntagOwners: {tag:a: [tag:b], tag:b: [tag:a]}",
        "grants: []\ntagOwners: {tag:a: [tag:a, autogroup:network-admin]}",
    ],
)
def test_surprisingly_valid(policy: str) -> None:
    """What Tailscale takes is no error of its layer, and none of ours."""
    assert sentences(policy) == []


def test_services_are_not_there_yet() -> None:
    """A rule that is left out without a word would be narrower than it reads."""
    (found,) = errors(grant(dst="svc:web"))
    assert (found.code, found.place) == ("not-yet", Place("policy.yaml", 1, 29))
    assert "there are no services" in found.message


@pytest.mark.parametrize(
    ("side", "code"),
    [("autogroup:nonroot", "autogroup-not-here"), ("posture:x", "bad-posture")],
)
def test_what_stands_elsewhere(side: str, code: str) -> None:
    """A login name and a posture are no selectors, and the help says where they go."""
    (found,) = errors(grant(side))
    assert found.code == code
    assert "`users`" in found.help or "`srcPosture`" in found.help


def test_a_grant_says_more_than_ports() -> None:
    """Routers, postures and applications are kept; values as canonical JSON."""
    tailnet = tailnet_of(
        "postures: {posture:p: ['custom:x IS SET']}\n"
        "grants:\n"
        "  # Reads the wiki.\n"
        "  - src: [user:*@acme.com]\n"
        "    dst: [10.9.0.0/16]\n"
        "    via: [' tag:web', tag:db]\n"
        "    srcPosture: [posture:p]\n"
        "    app: {b.com/x: [{b: 1, a: [true, null, 'é', '1', 1.5]}], a.com/y: null}\n"
    )
    (rule,) = tailnet.rules
    assert rule.via == ("tag:web", "tag:db")
    assert rule.posture == ("posture:p",)
    assert rule.ports == Ports(())
    assert rule.description == "Reads the wiki."
    value = '{"a":[true,null,"é","1",1.5],"b":1}'
    assert rule.app == (App("a.com/y"), App("b.com/x", (value,)))


def test_a_bare_number_is_a_port() -> None:
    """`47` is port 47 of the usual protocols, `47:*` is GRE."""
    (rule,) = tailnet_of(grant(more='ip: ["47", "47:*"]')).rules
    assert rule.ports == parse_ip("47") | parse_ip("47:*")
    assert rule.ports.allows(6, 47)
    assert rule.ports.allows(47, 0)
    assert not rule.ports.allows(47 + 1, 0)


def test_random_ports_are_an_attribute_of_everybody() -> None:
    """The setting at the top and the attribute are one thing (POLICY.md §1)."""
    (entry,) = tailnet_of("grants: []\nrandomizeClientPort: true\n").node_attrs
    assert [str(each) for each in entry.target] == ["*"]
    assert entry.attributes == ("randomize-client-port",)
    assert tailnet_of("grants: []\nrandomizeClientPort: false\n").node_attrs == ()


def test_domains_can_be_named() -> None:
    """`emailDomains` says which domains are the tailnet's, whoever its users are."""
    from tests.load.files import HEAD

    head = HEAD + "  emailDomains: [acme.org]\n"
    assert sentences(grant("user:*@acme.org"), tailnet=head) == []
    (found,) = errors(grant("user:*@acme.com"), tailnet=head)
    assert found.code == "bad-domain"


TESTED = "grants: []\ntests: [{%s}]\n"


@pytest.mark.parametrize(
    ("test", "code"),
    [
        ("src: '', deny: ['db-1:22']", "bad-test"),
        ("src: autogroup:bogus, deny: ['db-1:22']", "bad-test"),
        ("src: tag:phantom, deny: ['db-1:22']", "test-of-nobody"),
        ("src: group:phantom, deny: ['db-1:22']", "test-of-nobody"),
        ("src: group:none, deny: ['db-1:22']", "test-of-nobody"),
        ("src: phantom, deny: ['db-1:22']", "test-of-nobody"),
        ("src: ana-pc", "bad-test"),
        ("src: ana-pc, accept: []", "bad-test"),
        ("src: ana-pc, deny: ['phantom:22']", "test-of-nobody"),
        ("src: ana-pc, deny: ['tag:phantom:22']", "test-of-nobody"),
        ("src: ana-pc, deny: ['db-1:22,80']", "bad-test"),
        ("src: ana-pc, deny: ['db-1:22-80']", "bad-test"),
        ("src: ana-pc, deny: ['db-1:*']", "bad-test"),
        ("src: ana-pc, deny: ['db-1:-1']", "bad-test"),
        ("src: ana-pc, deny: ['db-1']", "bad-test"),
        ("src: ana-pc, deny: ['10.0.0.0/8:22']", "bad-test"),
        ("src: ana-pc, deny: ['10.0.0.1/32:22']", "bad-test"),
        ("src: ana-pc, deny: ['10.0.0.0/33:22']", "test-of-nobody"),
        ("src: ana-pc, deny: ['lan:22']", "bad-test"),
        ("src: ana-pc, deny: ['*:22']", "bad-test"),
        ("src: ana-pc, deny: ['autogroup:internet:22']", "bad-test"),
        ("src: ana-pc, deny: ['autogroup:danger-all:22']", "bad-test"),
        ("src: ana-pc, deny: ['db-1:22'], proto: icmp", "bad-test"),
        ("src: ana-pc, deny: ['db-1:22'], proto: '0'", "bad-test"),
    ],
)
def test_a_test_that_can_not_be_asked_fails(test: str, code: str) -> None:
    """Tailscale says `test(s) failed` to all of these, so their codes are a test's."""
    assert [found for found, _ in sentences(TESTED % test)] == [code]


def test_a_test_keeps_the_attributes_of_its_source() -> None:
    """Text, numbers and truth are three things; quotes decide in YAML."""
    test = "src: ana-pc, deny: ['db-1:22'], srcPostureAttrs: {%s}"
    values = "'node:os': 'linux', 'custom:a': true, 'custom:b': 'true', 'custom:c': 3"
    (found,) = tailnet_of(TESTED % (test % values)).tests
    assert found.attributes == (
        ("custom:a", True),
        ("custom:b", "true"),
        ("custom:c", 3),
        ("node:os", "linux"),
    )
    assert {type(value) for _, value in found.attributes} == {bool, str, int}
