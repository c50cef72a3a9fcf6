"""A laptop from its owner's file to its first policy, and parcels carried by hand.

Real commands and the true script on two machines: a server with an sshd, which is the
mailbox, and a laptop that nobody can log in to.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tailgit import cli
from tailgit.deploy.fleet import Fleet
from tailgit.deploy.hostkey import fingerprint
from tailgit.deploy.identity import identity
from tailgit.deploy.mailbox import Deposit, deposit_all
from tailgit.deploy.ssh import AsyncSsh, Login
from tailgit.errors import Exit
from tailgit.plan.pulled import lacking, pulled
from tests.deploy.asking import observe
from tests.deploy.machine import Machine
from tests.deploy.sshd import make_key, public

pytestmark = pytest.mark.live

FILES = {
    "tailnet.yaml": """\
tailnet:
  format: 1
  name: acme
  domain: acme.internal
  ipv4: 100.64.0.0/10
  ipv6: fd5c:91aa:7be0::/48
users:
  ana@acme.com: {name: Ana Lima}
tagOwners: {tag:db: [ana@acme.com]}
""",
    "devices.yaml": """\
devices:
  box:
    tags: [tag:db]
    endpoints: ["203.0.113.10:51820"]
    ssh: {host: 127.0.0.1, port: PORT}
    mailbox: true
  # Ana's own.
  laptop: {owner: ana@acme.com}
  other: {owner: ana@acme.com}
""",
    "policy.yaml": """\
grants:
  - {src: [ana@acme.com], dst: [tag:db], ip: ["tcp:5432"]}
""",
}


def quiet(_node: str, _word: str) -> None:
    """No progress is shown."""


@dataclass
class House:
    """A repository, a mailbox, a laptop, and an operator's keys."""

    repo: Path
    box: Machine
    laptop: Machine
    controller: Path
    signer: Path
    capture: pytest.CaptureFixture[str]

    def tailgit(self, *words: str) -> tuple[int, str, str]:
        self.capture.readouterr()
        code = cli.run([*words, "--repo", str(self.repo)])
        said = self.capture.readouterr()
        return code, said.out, said.err

    def commit(self) -> None:
        git = ["git", "-C", str(self.repo), "-c", "user.name=Ana"]
        git += ["-c", "user.email=ana@acme.com"]
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-q", "-m", "Change"], check=True)

    def load(self, machine: Machine, name: str) -> str:
        """Carry a device's parcel to its machine and load it there."""
        file = machine.root / "run" / f"{name}.parcel"
        key = ("--signing-key", str(self.signer))
        code, out, err = self.tailgit(
            "export", "parcel", name, "--out", str(file), *key
        )
        assert code == Exit.DONE, err
        assert (
            f"  /usr/local/lib/tailgit/tailgit-node load acme < {name}.parcel\n" in out
        )
        script = "/usr/local/lib/tailgit/tailgit-node"
        return machine.run("sh", "-c", f"{script} load acme --yes </run/{name}.parcel")

    def parcel(self, name: str) -> bytes:
        file = self.repo.parent / f"{name}.parcel"
        words = ("export", "parcel", name, "--out", str(file))
        code, _, err = self.tailgit(*words, "--signing-key", str(self.signer))
        assert code == Exit.DONE, err
        return file.read_bytes()

    def deposit(self, **parcels: bytes) -> dict[str, Deposit]:
        async def doing() -> dict[str, Deposit]:
            fleet = Fleet(AsyncSsh(identity(self.controller)), "acme")
            fleet.call([self.login])
            try:
                return await deposit_all(parcels, ["box"], fleet, quiet)
            finally:
                await fleet.close()

        return asyncio.run(doing())

    @property
    def login(self) -> Login:
        return self.box.login("box", "tailgit")


@pytest.fixture
def house(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[House]:
    """The mailbox enrolled, the laptop bare."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    box, laptop = (Machine(tmp_path / name) for name in ("box", "laptop"))
    repo = tmp_path / "repo"
    repo.mkdir()
    for name, text in FILES.items():
        (repo / name).write_text(text.replace("PORT", str(box.port)))
    keys = make_key(tmp_path / "controller"), make_key(tmp_path / "signer")
    made = House(repo, box, laptop, *keys, capsys)
    subprocess.run(["git", "-C", str(repo), "init", "-q", "-b", "main"], check=True)
    made.commit()
    sshd = []
    try:
        pin = fingerprint(public(box.host)).split()[1]
        code, _, err = made.tailgit(
            *("device", "enroll", "box", "--login", f"root@127.0.0.1:{box.port}"),
            *("--identity", str(box.admin), "--host-key", pin),
            *("--controller-key", f"{made.controller}.pub"),
            *("--signer-key", f"{made.signer}.pub"),
        )
        assert code == Exit.DONE, err
        made.commit()
        sshd.append(door(box, laptop))
        yield made
    finally:
        for each in sshd:
            each.terminate()
            each.wait(10)
        for machine in (box, laptop):
            machine.close()


def door(box: Machine, laptop: Machine) -> subprocess.Popen[bytes]:
    """The mailbox's sshd as the laptop reaches it: in the laptop's own network, as
    the repository has one address for the mailbox, and that is a loopback one."""
    words = ["nsenter", "--target", str(box.pid), "--mount", "--pid"]
    words += [f"--net=/proc/{laptop.pid}/ns/net", "/usr/sbin/sshd", "-D"]
    words += ["-f", "/etc/machine/sshd_config", "-p", str(box.port)]
    return subprocess.Popen([*words, "-o", "ListenAddress=127.0.0.1"])


def test_a_laptop_joins_and_catches_up(house: House, tmp_path: Path) -> None:
    """One file for its owner, one line back, one commit: then it pulls by itself."""
    key = ("--signer-key", f"{house.signer}.pub")
    file = tmp_path / "laptop.sh"
    code, out, err = house.tailgit("device", "join", "laptop", "--out", str(file), *key)
    assert code == Exit.DONE, err
    assert "sudo sh laptop.sh" in out
    checked = subprocess.run(
        ["shellcheck", "-s", "sh", str(file)], capture_output=True, text=True
    )
    assert checked.stdout == ""
    (house.laptop.root / "run/laptop.sh").write_text(file.read_text())
    said = house.laptop.run("sh", "/run/laptop.sh")
    (line,) = re.findall(r"^  tailgit (device join laptop .*)$", said, re.MULTILINE)
    assert house.laptop.run("sh", "/run/laptop.sh") == said
    code, out, err = house.tailgit(*shlex.split(line))
    assert code == Exit.DONE, err
    declared = yaml.safe_load((house.repo / "devices.yaml").read_text())
    laptop = declared["devices"]["laptop"]
    assert laptop["delivery"] == "pull"
    assert laptop["pullKey"].startswith("ssh-ed25519 ")
    assert "# Ana's own." in (house.repo / "devices.yaml").read_text()
    code, out, _ = house.tailgit(*shlex.split(line))
    assert "says all of that of laptop already" in out
    house.commit()
    assert house.load(house.box, "box") == "generation 1 is kept\n"

    ends = house.deposit(laptop=house.parcel("laptop"))
    assert ends == {"laptop": Deposit("laptop", ("box",))}
    assert ends["laptop"].sentence == "in the mailbox of box"
    script = "/usr/local/lib/tailgit/tailgit-node"
    house.laptop.run(script, "pull", "acme")
    seen = {
        "box": asyncio.run(
            observe(AsyncSsh(identity(house.controller)), "acme", house.login)
        )
    }
    commit = subprocess.run(
        ["git", "-C", str(house.repo), "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
    ).stdout
    assert pulled(seen)["laptop"].sentence == f"last fetched just now, has {commit[:7]}"
    (held,) = seen["box"].deposited
    assert lacking("laptop", held.manifest, ["box"], seen) == ()
    shown = house.laptop.run(script, "request", "observe", "acme")
    assert "\ncurrent\t1\n" in shown
    assert "\ninterface\tup\n" in shown
    assert f"\nmanifest\t{held.manifest}\n" in shown


def test_a_deposit_that_fails_is_an_outcome(house: House) -> None:
    """A refused parcel keeps no other out; a mailbox that is down fails them all."""
    ends = house.deposit(laptop=b"rubbish", other=b"rubbish")
    assert [each.is_done for each in ends.values()] == [False, False]
    ((box, why),) = ends["laptop"].failed
    assert (box, why) == ("box", "what runs here holds no parcel for laptop")
    house.box.close()
    ends = house.deposit(laptop=b"rubbish")
    assert not ends["laptop"].is_done
    assert ends["laptop"].sentence.startswith("not in box's: 127.0.0.1 port ")
    assert house.deposit() == {}


def test_join_says_what_is_missing(house: House) -> None:
    """No mailbox, half of the keys, no key at all, another delivery."""
    text = (house.repo / "devices.yaml").read_text()
    wire = "6Zg1fQ0o3Pqj4m0sO5GmVbq5tGgRUuTzvKyJ0uUoY1E="
    both = ("--public-key", wire, "--pull-key", public(house.controller))
    cases = [
        (("--public-key", wire), Exit.USAGE, "go together"),
        ((*both[:3], "ssh-ed25519"), Exit.USAGE, "it has a blank inside"),
        (("--public-key", "x", *both[2:]), Exit.USAGE, "not a WireGuard public key"),
        ((*both, "--out", "x"), Exit.USAGE, "--out is for the first step"),
    ]
    for words, wanted, says in cases:
        code, _, err = house.tailgit("device", "join", "laptop", *words)
        assert (code, says in err) == (wanted, True), err
    assert (house.repo / "devices.yaml").read_text() == text
    (house.repo / "devices.yaml").write_text(
        text.replace("mailbox: true", "mailbox: false").replace(
            "other: {", "other: {delivery: file, "
        )
    )
    signer = ("--signer-key", f"{house.signer}.pub")
    code, _, err = house.tailgit("device", "join", "laptop", *signer)
    assert code == Exit.REFUSED
    assert "no mailbox is enrolled" in err
    code, _, err = house.tailgit("device", "join", "other", *both)
    assert code == Exit.REFUSED
    assert "`delivery: file`" in err


def test_a_parcel_wants_a_key_and_a_commit(house: House) -> None:
    """A device that awaits its key gets none; what is not committed is not in it."""
    words = ("export", "parcel", "laptop", "--signing-key", str(house.signer))
    code, _, err = house.tailgit(*words)
    assert code == Exit.REFUSED
    assert "laptop awaits its key" in err
    code, _, err = house.tailgit("export", "parcel", "lptop")
    assert code == Exit.USAGE
    assert "laptop" in err


def test_check_has_nothing_more_to_say(house: House) -> None:
    """mailbox and pullKey are no words for later any more."""
    house.capture.readouterr()
    code = cli.run(["check", str(house.repo), "--format", "json"])
    out = house.capture.readouterr().out
    assert code == Exit.DONE
    codes = {each["code"] for each in json.loads(out)["findings"]}
    assert "not-used" not in codes
