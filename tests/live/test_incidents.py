"""What is done at night, with packets under way: revoke a laptop, rotate a key."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tailgit.errors import Exit
from tailgit.lab import CONTROLLER
from tests.live.network import FILES, Network, small_network
from tests.live.streams import Stream, stream

pytestmark = pytest.mark.live

PHONE = "6Zg1fQ0o3Pqj4m0sO5GmVbq5tGgRUuTzvKyJ0uUoY1E="

DEVICES = """\
devices:
  db: {tags: [tag:db], endpoints: ["203.0.113.1:51820"]}   # the only one
  desk: {owner: ben@acme.com, endpoints: ["203.0.113.2:51820"]}
  laptop:
    owner: ana@acme.com   # stolen now and then
    endpoints: ["203.0.113.3:51820"]
"""

POLICY = """\
users:
  ana@acme.com: {name: Ana Lima}
  ben@acme.com: {name: Ben Ode}
tagOwners: {tag:db: []}
grants:
  - {src: [laptop, desk], dst: [db], ip: ["udp:8125", "tcp:8080"]}
tests:
  - {src: laptop, proto: tcp, accept: ["db:8080"]}
"""


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A database, two machines of people, and a phone that nobody reaches."""
    files = {**FILES, "devices.yaml": DEVICES, "policy.yaml": POLICY}
    folder = tmp_path_factory.mktemp("office")
    built = small_network(folder, lambda _: None, files, "office")
    yield built
    built.lab.down()


def tailgit(network: Network, *words: str, expect: int = Exit.DONE) -> tuple[str, str]:
    """A command on the controller; what it printed."""
    python = [network.lab.python, "-m", "tailgit"]
    done = network.lab.run(
        CONTROLLER, [*python, *words, "--repo", str(network.repo)], timeout=180
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == expect, out + err
    return out, err


def git(network: Network, script: str) -> str:
    who = 'git() { command git -c user.name=T -c user.email=t@example.com "$@"; }'
    return network.sh(CONTROLLER, f"cd {network.repo}; {who}; {script}").strip()


def key_of(network: Network, node: str) -> str:
    return network.sh(node, "wg show tg-small public-key").strip()


def peers_of(network: Network, node: str) -> list[str]:
    return sorted(network.sh(node, "wg show tg-small peers").split())


def rotated(network: Network, node: str, *, proto: str = "tcp") -> Stream:
    """Rotate the key of a node under a stream from the desk to the database."""
    port = 8080 if proto == "tcp" else 8125
    old = key_of(network, node)
    out, _ = tailgit(network, "device", "rotate", node)
    assert f"then tailgit device rotate {node} --finish" in out
    git(network, "git commit -qam 'Stage a key'")
    tailgit(network, "apply", "--yes")
    assert key_of(network, node) == old
    tailgit(network, "device", "rotate", node, "--finish")
    git(network, "git commit -qam 'The new key'")
    with stream(network, proto, "desk", "db", port) as seen:
        time.sleep(1)
        out, err = tailgit(network, "apply", "--yes")
        time.sleep(6)
    assert "a new key of its own" in err
    new = key_of(network, node)
    other = "desk" if node == "db" else "db"
    assert new != old
    assert new in peers_of(network, other)
    assert old not in peers_of(network, other)
    return seen


@pytest.mark.parametrize("proto", ["tcp", "udp"])
@pytest.mark.parametrize("node", ["db", "desk"])
def test_a_stream_outlives_a_rotation(office: Network, node: str, proto: str) -> None:
    """The pair is apart from the switch of one end to that of the other, and no
    connection is lost by it."""
    seen = rotated(office, node, proto=proto)
    gap = seen.longest_gap(0)
    print(f"rotation of {node}, {proto}: longest gap {gap:.2f} s")
    assert seen.lost == ""
    assert gap < 2.0
    assert seen.after(seen.came[-1] - 1) > 20


def test_a_key_that_is_lost_meanwhile_is_not_gone_over_to(office: Network) -> None:
    """The node is asked before the file is changed; taken back, all is as it was."""
    tailgit(office, "device", "rotate", "laptop")
    git(office, "git commit -qam 'Stage a key'")
    declared = git(office, "grep nextPublicKey devices.yaml").split()[1].strip('"')
    out, _ = tailgit(office, "device", "rotate", "laptop")
    assert f"laptop: the next key was written already: {declared}\n" in out
    name = declared[:16].replace("+", "-").replace("/", "_")
    office.sh("laptop", f"rm /etc/tailgit/small/keys/{name}")
    words = ("device", "rotate", "laptop")
    _, err = tailgit(office, *words, "--finish", expect=Exit.REFUSED)
    assert f"does not have the private half of its nextPublicKey {declared}" in err
    _, err = tailgit(office, *words, expect=Exit.REFUSED)
    assert "--abort, then again" in err
    tailgit(office, *words, "--abort")
    assert git(office, "git diff --stat HEAD~1 -- devices.yaml") == ""
    git(office, "git commit -qam 'Taken back'")


@pytest.fixture
def restored(office: Network) -> Iterator[Network]:
    """The office as it was, by commits that take back what a test did."""
    head = git(office, "git rev-parse HEAD")
    yield office
    for node in office.lab.nodes:
        office.sh(node, "kill -CONT $(cat /run/sshd.pid)")
    git(office, f"git reset -q; git checkout -q {head} -- . ; git add -A")
    git(office, "git commit -qm 'As it was' || true")
    tailgit(office, "apply", "--yes")


def test_a_revoked_laptop_is_cut_off_at_once(restored: Network) -> None:
    """Its stream stops, those of others do not; it is neither asked nor waited for, and
    the commit holds the one line and nothing else that lies about."""
    office = restored
    git(office, "echo hello > README.md; git add README.md; echo '# x' >> policy.yaml")
    stolen = key_of(office, "laptop")
    office.sh("laptop", "kill -STOP $(cat /run/sshd.pid)")
    with (
        stream(office, "udp", "laptop", "db", 8125) as thief,
        stream(office, "tcp", "desk", "db", 8080) as other,
    ):
        time.sleep(1)
        out, err = tailgit(
            office, "revoke", "laptop", "--reason", "stolen in Lisbon", "--yes"
        )
        done = time.monotonic()
        time.sleep(2)
    assert "Nobody trusts laptop any more.\n" in out
    assert "Push it soon: git push." in out
    assert "note: this test fails from now on: policy.yaml:" in err
    assert "+    disabled: true\n" in err
    assert thief.came
    assert thief.after(done) == 0
    assert other.lost == ""
    assert other.longest_gap(0) < 1.0
    assert stolen not in peers_of(office, "db") + peers_of(office, "desk")
    assert git(office, "git show -s --format=%B").splitlines() == [
        "Revoke laptop",
        "",
        "Devices: laptop",
        "Reason: stolen in Lisbon",
    ]
    assert git(office, "git show --format= --name-only") == "devices.yaml"
    assert git(office, "git status --porcelain").splitlines() == [
        "A  README.md",
        " M policy.yaml",
    ]
    out, err = tailgit(office, "revoke", "laptop", "--yes")
    assert "laptop is revoked already in HEAD" in err
    assert out == "Nobody trusts laptop any more.\n"


def test_a_person_goes_with_every_device_and_who_is_missing_is_named(
    restored: Network,
) -> None:
    """A node that is out of reach and a phone that gets its files by hand may trust the
    key on; the node lets go once it is back, and the device itself is told."""
    office = restored
    phone = "{owner: ana@acme.com, delivery: wg-quick, publicKey: " + PHONE + "}"
    git(office, f"printf '  phone: {phone}\\n' >> devices.yaml")
    rule = """- {src: [phone], dst: [desk], ip: ["tcp:22"]}"""
    git(office, f"sed -i 's/^grants:/grants:\\n  {rule}/' policy.yaml")
    git(office, "git commit -qam 'A phone'")
    tailgit(office, "apply", "--yes")
    gone = key_of(office, "desk")
    office.sh("db", "kill -STOP $(cat /run/sshd.pid)")
    words = ("revoke", "ben@acme.com", "--yes")
    out, err = tailgit(office, *words, expect=Exit.INCOMPLETE)
    assert "still trusting ben@acme.com: db, phone\n" in err
    assert "db  unreachable" not in out
    assert "it lets go of the key as soon as it is reached" in out
    assert "bring it the output of: tailgit render phone --wg-quick" in out
    assert gone in peers_of(office, "db")
    assert peers_of(office, "desk") == []
    office.sh("db", "(sleep 20; kill -CONT $(cat /run/sshd.pid)) >/dev/null 2>&1 &")
    out, err = tailgit(office, *words, "--wait", "60", expect=Exit.INCOMPLETE)
    assert "  db: has let go\n" in err
    assert "1 may still trust ben@acme.com:\n  phone  " in out
    assert gone not in peers_of(office, "db")


def test_what_else_the_branch_holds_is_not_applied_by_it(restored: Network) -> None:
    """Nodes that the waiting commit gives something are kept back, with both ways out;
    the revocation stays committed."""
    office = restored
    old = peers_of(office, "db")
    git(office, "sed -i 's/tcp:8080/tcp:8080-8081/' policy.yaml")
    git(office, "git commit -qam 'Not reviewed yet'")
    _, err = tailgit(office, "revoke", "laptop", "--yes", expect=Exit.REFUSED)
    said = " ".join(err.split())
    assert "would gain something, too; this commit has more in it" in said
    assert "apply all of the commit: tailgit plan, tailgit apply; or revoke on" in said
    assert git(office, "git log -1 --format=%s") == "Revoke laptop"
    assert peers_of(office, "db") == old
