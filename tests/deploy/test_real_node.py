"""From a bare machine to an applied policy: real commands, real sshd, true script."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tailgit import cli
from tailgit.deploy.hostkey import fingerprint
from tailgit.errors import Exit
from tests.deploy.machine import Machine
from tests.deploy.sshd import make_key, public

pytestmark = pytest.mark.live

TAILNET = """\
tailnet:
  format: 1
  name: acme
  domain: acme.internal
  ipv4: 100.64.0.0/10
  ipv6: fd5c:91aa:7be0::/48
users:
  ana@acme.com: {name: Ana Lima}
tagOwners: {tag:db: [ana@acme.com], tag:web: [ana@acme.com]}
"""

DEVICES = """\
# Machines in Frankfurt.
devices:
  db-1:
    tags: [tag:db]      # the replica
    endpoints: ["203.0.113.10:51820"]
    ssh: {{host: 127.0.0.1, port: {db}}}
  web-1:
    tags: [tag:web]
    endpoints: ["203.0.113.11:51820"]
    ssh: {{host: 127.0.0.1, port: {web}}}
  ana-desk:
    owner: ana@acme.com
    publicKey: 6Zg1fQ0o3Pqj4m0sO5GmVbq5tGgRUuTzvKyJ0uUoY1E=
    endpoints: ["203.0.113.12:51820"]
    delivery: file
"""

POLICY = """\
grants:
  - {src: [tag:web], dst: [tag:db], ip: ["tcp:5432"]}
"""


@dataclass
class Fleet:
    """A repository, two machines, and an operator's keys."""

    repo: Path
    machines: dict[str, Machine]
    controller: Path
    signer: Path
    capture: pytest.CaptureFixture[str]

    def tailgit(self, *words: str) -> tuple[int, str, str]:
        """Run one command; exit code, standard output, standard error."""
        self.capture.readouterr()
        code = cli.run([*words, "--repo", str(self.repo)])
        said = self.capture.readouterr()
        return code, said.out, said.err

    def enroll(self, name: str, *words: str) -> tuple[int, str, str]:
        machine = self.machines[name]
        pin = fingerprint(public(machine.host)).split()[1]
        return self.tailgit(
            *("device", "enroll", name),
            *("--login", f"root@127.0.0.1:{machine.port}"),
            *("--identity", str(machine.admin), "--host-key", pin),
            *("--controller-key", f"{self.controller}.pub"),
            *("--signer-key", f"{self.signer}.pub", *words),
        )

    def plan(self, *words: str) -> tuple[int, str, str]:
        return self.tailgit("plan", "--identity", str(self.controller), *words)

    def apply(self, *words: str) -> tuple[int, str, str]:
        keys = ("--identity", self.controller, "--signing-key", self.signer)
        return self.tailgit("apply", *map(str, keys), *words)

    def git(self, *words: str) -> str:
        command = ["git", "-C", str(self.repo), *words]
        return subprocess.run(
            command, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, subject: str, **files: str) -> str:
        """Write `NAME.yaml` files (or README) and commit everything."""
        for name, text in files.items():
            (self.repo / name.replace("_", ".")).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", subject)
        return self.git("rev-parse", "HEAD")

    def document(self, *words: str) -> dict[str, object]:
        """The plan as JSON."""
        _, out, _ = self.plan("--format", "json", *words)
        made = json.loads(out)
        assert isinstance(made, dict)
        return made

    def states(self) -> dict[str, str]:
        rows = self.document()["rows"]
        assert isinstance(rows, Sequence)
        return {row["node"]: row["state"] for row in rows}

    def everything(self) -> dict[str, object]:
        """All that a request could have changed: files, table handles, interface."""
        return {
            name: (
                machine.stamps(),
                machine.run("nft", "-a", "-s", "list", "ruleset"),
                machine.run("ip", "addr", "show", "dev", "tg-acme"),
                machine.run("wg", "show", "tg-acme", "peers"),
            )
            for name, machine in self.machines.items()
        }


@pytest.fixture
def fleet(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Fleet]:
    """Two bare machines and a repository that declares them, without their keys."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    machines = {name: Machine(tmp_path / name) for name in ("db-1", "web-1")}
    repo = tmp_path / "repo"
    repo.mkdir()
    made = Fleet(
        repo,
        machines,
        make_key(tmp_path / "controller"),
        make_key(tmp_path / "signer"),
        capsys,
    )
    made.git("init", "-q", "-b", "main")
    made.git("config", "user.name", "Ana Lima")
    made.git("config", "user.email", "ana@acme.com")
    ports = {"db": machines["db-1"].port, "web": machines["web-1"].port}
    made.commit(
        "Start",
        tailnet_yaml=TAILNET,
        devices_yaml=DEVICES.format(**ports),
        policy_yaml=POLICY,
    )
    try:
        yield made
    finally:
        for machine in machines.values():
            machine.close()


@pytest.fixture
def applied(fleet: Fleet) -> Fleet:
    """The fleet enrolled, committed and applied."""
    for name in fleet.machines:
        code, _, err = fleet.enroll(name)
        assert code == Exit.DONE, err
    fleet.commit("Enrol")
    code, _, err = fleet.apply("--yes")
    assert code == Exit.DONE, err
    return fleet


def test_enrolment_writes_the_keys_and_keeps_every_comment(fleet: Fleet) -> None:
    """Only the two keys are new in the file, and they are the machine's own."""
    before = (fleet.repo / "devices.yaml").read_text()
    code, out, err = fleet.enroll("db-1")
    assert code == Exit.DONE, err
    after = (fleet.repo / "devices.yaml").read_text()
    machine = fleet.machines["db-1"]
    (kept,) = (machine.root / "etc/tailgit/acme/keys").iterdir()
    key = machine.run("sh", "-c", f"wg pubkey </etc/tailgit/acme/keys/{kept.name}")
    declared = yaml.safe_load(after)["devices"]["db-1"]
    assert declared["publicKey"] == key.strip()
    assert declared["ssh"]["hostKey"] == public(machine.host)
    for comment in ("# Machines in Frankfurt.", "# the replica"):
        assert comment in before
        assert comment in after
    assert f"publicKey    {key.strip()}" in out
    assert f"tailgit@127.0.0.1 port {machine.port} answers" in out
    assert kept.read_text().strip() not in after + out + err


def test_enrolling_again_changes_nothing_and_says_so(fleet: Fleet) -> None:
    """Neither the file nor the machine is touched the second time."""
    fleet.enroll("db-1")
    file = fleet.repo / "devices.yaml"
    before, stamps = file.stat(), fleet.machines["db-1"].stamps(folders=False)
    code, out, err = fleet.enroll("db-1")
    assert code == Exit.DONE, err
    assert "The repository says so already.\n" in out
    assert file.stat() == before
    assert fleet.machines["db-1"].stamps(folders=False) == stamps


def test_the_administrators_key_does_not_become_the_controllers(
    fleet: Fleet,
) -> None:
    """Without --controller-key it is the one of ~/.ssh, whatever logs in to install;
    the one beside --identity only where ~/.ssh has none, and then it is said."""
    machine = fleet.machines["db-1"]
    pin = fingerprint(public(machine.host)).split()[1]
    words = ("device", "enroll", "db-1", "--login", f"root@127.0.0.1:{machine.port}")
    words += ("--identity", str(machine.admin), "--host-key", pin)
    words += ("--signer-key", f"{fleet.signer}.pub")
    code, out, err = fleet.tailgit(*words)
    assert code == Exit.DONE, err
    assert f"  controller   {fingerprint(public(machine.admin))}\n" in out
    assert f"commit it, then tailgit plan --identity {machine.admin}\n" in out

    (Path.home() / ".ssh").mkdir()
    home = make_key(Path.home() / ".ssh" / "id_ed25519")
    code, out, err = fleet.tailgit(*words)
    assert code == Exit.DONE, err
    assert f"  controller   {fingerprint(public(home))}\n" in out
    assert "The repository says so already.\nNext:  tailgit plan\n" in out
    fleet.commit("Enrol")
    code, out, err = fleet.tailgit("plan")
    assert "1 of 1 nodes answered" in out, err
    code, out, _ = fleet.plan("--identity", str(machine.admin))
    assert (code, "0 of 1 nodes answered" in out) == (Exit.REFUSED, True)


def test_a_private_key_is_taken_for_the_public_one_beside_it(fleet: Fleet) -> None:
    """--controller-key may name either half; without a .pub there is an error."""
    code, out, err = fleet.enroll("db-1", "--controller-key", str(fleet.controller))
    assert code == Exit.DONE, err
    assert f"tailgit plan --identity {fleet.controller}\n" in out
    lonely = fleet.repo.parent / "lonely"
    lonely.write_text(fleet.controller.read_text())
    code, _, err = fleet.enroll("db-1", "--controller-key", str(lonely))
    assert code == Exit.FAILED
    assert f"no public key {lonely}" in err


def test_enrolment_wants_the_host_key_to_be_the_expected_one(fleet: Fleet) -> None:
    """Another fingerprint, and nobody there to compare: nothing is sent."""
    name, machine = "db-1", fleet.machines["db-1"]
    words = ("device", "enroll", name, "--login", f"root@127.0.0.1:{machine.port}")
    keys = ("--controller-key", f"{fleet.controller}.pub")
    keys += ("--signer-key", f"{fleet.signer}.pub")
    wrong = ("--host-key", f"SHA256:{'A' * 43}")
    code, _, err = fleet.tailgit(*words, *keys, *wrong)
    assert code == Exit.FAILED
    assert "has no host key SHA256:AAAA" in err
    code, _, err = fleet.tailgit(*words, *keys, "--yes")
    assert code == Exit.USAGE
    assert fingerprint(public(machine.host)) in err
    assert "nobody is here to compare the host key" in err
    assert not (machine.root / "etc/tailgit").exists()


def test_a_device_that_is_not_declared_is_a_slip(fleet: Fleet) -> None:
    """The nearest name is offered."""
    code, _, err = fleet.tailgit("device", "enroll", "bd-1")
    assert code == Exit.USAGE
    assert "acme has no device `bd-1`" in err
    assert "db-1" in err


def test_a_machine_with_another_key_than_declared_is_refused(fleet: Fleet) -> None:
    """That would be a rotation: the file stays as it is."""
    other = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
    file = fleet.repo / "devices.yaml"
    declared = file.read_text().replace(
        "    tags: [tag:db] ", f"    publicKey: {other}\n    tags: [tag:db] "
    )
    file.write_text(declared)
    code, _, err = fleet.enroll("db-1")
    assert code == Exit.REFUSED
    assert f"is declared with publicKey {other}, the machine has" in err
    assert file.read_text() == declared


def test_a_whole_life(fleet: Fleet) -> None:
    """First plan, apply, nothing to do, a change, an older commit, a drift."""
    for name in fleet.machines:
        fleet.enroll(name)
    fleet.commit("Enrol")
    code, out, err = fleet.plan("--detailed-exitcode")
    assert code == Exit.CHANGES, err
    assert "2 of 2 nodes answered" in out
    assert "Plan" in out
    assert fleet.states() == {
        "ana-desk": "not-delivered",
        "db-1": "first",
        "web-1": "first",
    }

    digest = str(fleet.document()["compiled"])
    code, out, err = fleet.apply("--compiled", "0" * 64)
    assert (code, out) == (Exit.REFUSED, "")
    assert "not to what was reviewed" in err
    code, out, _ = fleet.apply("--compiled", "0" * 64, "--format", "json")
    assert code == Exit.REFUSED
    refused = json.loads(out)
    assert refused["applyable"] is False
    assert f"compiles to {digest}" in refused["refusals"][0]
    code, out, err = fleet.apply("--compiled", digest, "--format", "json")
    assert code == Exit.DONE, err
    assert json.loads(out)["counts"] == {"applied": 2}

    before = fleet.everything()
    code, out, err = fleet.plan("--detailed-exitcode")
    assert code == Exit.DONE, err
    assert "Nothing to do" in out
    code, out, err = fleet.apply("--yes")
    assert code == Exit.DONE, err
    assert "2 of 2 nodes have" in out
    fleet.commit("Say what this is", README_md="hello\n")
    code, out, err = fleet.apply("--yes")
    assert (code, "2 unchanged" in out) == (Exit.DONE, True), err
    assert fleet.everything() == before

    fleet.commit("Ping", policy_yaml=POLICY.replace("5432", "5433"))
    kept = fleet.repo.parent / "change.tgplan"
    code, out, err = fleet.plan("--out", str(kept))
    assert code == Exit.DONE, err
    assert "change, hot, filter +" in out
    code, out, err = fleet.apply(str(kept))
    assert code == Exit.DONE, err
    code, out, err = fleet.apply(str(kept))
    assert (code, "2 unchanged" in out) == (Exit.DONE, True), err

    code, out, err = fleet.apply("--yes", "--commit", "HEAD~1", "--format", "json")
    assert code == Exit.REFUSED
    assert "to go back, see `tailgit rollback --help`" in err
    refusals = json.loads(out)["refusals"]
    assert ["tailgit rollback" in said for said in refusals] == [True]

    fleet.machines["db-1"].run("ip", "addr", "flush", "dev", "tg-acme")
    assert fleet.states()["db-1"] == "repair"
    code, _, err = fleet.apply(str(kept))
    assert code == Exit.REFUSED
    assert "the plan is stale: db-1 is not as it was" in err
    code, _, err = fleet.apply("--yes")
    assert code == Exit.DONE, err
    assert set(fleet.states().values()) == {"in-sync", "not-delivered"}


def test_a_node_that_lost_its_guard_gets_it_back(applied: Fleet) -> None:
    """Nothing else is wrong there, so the plan says it and an apply mends it, hot."""
    machine = applied.machines["db-1"]
    find = "pgrep -f 'tailgit-node guard acme'"
    guards = machine.run("sh", "-c", f"{find} | grep -vx $$").split()
    machine.run("kill", "-9", *guards)
    code, out, err = applied.plan()
    assert code == Exit.DONE, err
    assert "  ! db-1      repair, hot\n" in out
    assert "! guard absent\n" in out
    code, _, err = applied.apply("--yes")
    assert code == Exit.DONE, err
    assert applied.states()["db-1"] == "in-sync"


def test_a_damaged_record_is_refused_until_somebody_allows_it(applied: Fleet) -> None:
    """What the refusal says to do is what mends it."""
    state = applied.machines["db-1"].root / "var/lib/tailgit/acme"
    number = (state / "current").read_text().split()[0]
    (state / "generations" / number / "envelope").write_text("rubbish")
    code, _, err = applied.apply("--yes")
    assert code == Exit.REFUSED
    assert '--allow damaged-record="REASON"' in err
    code, out, err = applied.apply("--yes", "--allow", "damaged-record=disk is new")
    assert (code, "applied" in out) == (Exit.DONE, True), out + err
    code, out, err = applied.apply("--yes")
    assert (code, "2 unchanged" in out) == (Exit.DONE, True), out + err


def test_a_machine_that_is_gone_is_a_row_and_exit_5(applied: Fleet) -> None:
    """The others are brought forward, and it is named."""
    applied.machines["web-1"].close()
    applied.commit("Ping", policy_yaml=POLICY.replace("5432", "5433"))
    code, out, err = applied.plan("--detailed-exitcode")
    assert code == Exit.INCOMPLETE, err
    assert "  ? web-1     unreachable, " in out
    assert "127.0.0.1 port" in out
    code, out, err = applied.apply("--yes")
    assert code == Exit.INCOMPLETE, err
    assert "x web-1  unreachable" in out
    assert "+ db-1   applied" in out
    assert "1 of 2 nodes have" in out


def test_a_signer_that_the_nodes_do_not_know_is_refused_by_them(
    applied: Fleet, tmp_path: Path
) -> None:
    """Not the controller decides who may sign, and the nodes keep what they have."""
    applied.commit("Ping", policy_yaml=POLICY.replace("5432", "5433"))
    applied.signer = make_key(tmp_path / "stranger")
    code, out, _ = applied.apply("--yes", "--format", "json")
    assert code == Exit.INCOMPLETE
    outcomes = json.loads(out)["outcomes"]
    assert {o["code"] for o in outcomes} == {"bad-signature"}
    assert {o["phase"] for o in outcomes} == {"stage"}
    code, out, _ = applied.apply("--yes")
    assert code == Exit.INCOMPLETE
    said = " ".join(out.split())
    key = fingerprint(public(applied.signer))
    assert f"db-1 web-1: the key that signed is not known there: {key} (" in said
    assert "tailgit device enroll db-1 --signer-key FILE.pub" in out
    assert "To finish" not in out
    code, _, err = applied.enroll("db-1")
    assert code == Exit.DONE, err
    code, out, _ = applied.apply("--yes")
    assert "+ db-1   applied" in out


def test_a_shallow_clone_is_refused(applied: Fleet, tmp_path: Path) -> None:
    """CI has to fetch the whole history, and the sentence says how."""
    applied.commit("Another", README_md="x\n")
    shallow = tmp_path / "shallow"
    source = f"file://{applied.repo}"
    subprocess.run(["git", "clone", "-q", "--depth", "1", source, shallow], check=True)
    applied.repo = shallow
    code, _, err = applied.apply("--yes")
    assert code == Exit.REFUSED
    assert "fetch-depth: 0" in err


def test_without_a_terminal_somebody_has_to_say_yes(applied: Fleet) -> None:
    """Before any node is asked: a script that forgot it fails at once."""
    code, _, err = applied.apply()
    assert code == Exit.USAGE
    assert "PLANFILE, --compiled DIGEST or --yes" in err


def test_on_a_terminal_the_plan_is_shown_and_asked_about(
    applied: Fleet, answer_on_a_terminal: Callable[..., tuple[int, str]]
) -> None:
    """`n` changes nothing; `y` applies what was shown."""
    applied.commit("Ping", policy_yaml=POLICY.replace("5432", "5433"))
    words = ["apply", "--repo", applied.repo, "--identity", applied.controller]
    words += ["--signing-key", applied.signer]
    code, shown = answer_on_a_terminal("n\n", *map(str, words))
    assert code == Exit.FAILED, shown
    assert "change, hot" in shown
    assert "Apply this to 2 nodes?" in shown
    assert shown.endswith("tailgit: error: nothing was changed\r\n")
    assert applied.states()["db-1"] == "change"
    code, shown = answer_on_a_terminal("y\n", *map(str, words))
    assert code == Exit.DONE, shown
    assert applied.states()["db-1"] == "in-sync"


def test_ctrl_c_finishes_what_is_under_way(applied: Fleet) -> None:
    """One node at a time: the first is confirmed, the second is not begun, exit 5."""
    applied.commit("Ping", policy_yaml=POLICY.replace("5432", "5433"))
    words = ["--yes", "--parallel", "1", "--repo", applied.repo]
    words += ["--identity", applied.controller, "--signing-key", applied.signer]
    process = subprocess.Popen(
        [sys.executable, "-m", "tailgit", "apply", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": "controller"},
        cwd=Path(__file__).parents[2],
    )
    assert process.stderr is not None
    said = [process.stderr.readline()]
    while "db-1: activate" not in said[-1]:
        assert said[-1], "".join(said)
        said.append(process.stderr.readline())
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == Exit.INCOMPLETE, err
    assert "finishing the nodes under way" in err
    assert "+ db-1   applied" in out
    assert "x web-1  not started" in out
    states = applied.states()
    assert (states["db-1"], states["web-1"]) == ("in-sync", "change")


def test_an_administrator_with_sudo_can_enroll(fleet: Fleet) -> None:
    """A user whose sudo wants a password is refused with a next step; one whose
    sudo wants none will do."""
    machine = fleet.machines["db-1"]
    machine.run("useradd", "--create-home", "--home-dir", "/run/ops", "ops")
    machine.run("sh", "-c", "echo 'ops:*' | chpasswd -e")
    shutil.copy(machine.keys / "root", machine.keys / "ops")
    login = ("--login", f"ops@127.0.0.1:{machine.port}")
    code, _, err = fleet.enroll("db-1", *login)
    assert code == Exit.REFUSED
    assert "ops can't use sudo there without a password" in err
    machine.run("sh", "-c", "echo 'ops ALL=NOPASSWD: ALL' >/etc/sudoers.d/ops")
    code, out, err = fleet.enroll("db-1", *login)
    assert code == Exit.DONE, err
    assert "db-1 is enrolled" in out
    assert machine.run("ls", "-A", "/tmp") == ""


@pytest.fixture
def answer_on_a_terminal() -> Callable[..., tuple[int, str]]:
    """Run a command on a pseudo-terminal, type something, collect what is shown."""

    def run(typed: str, *words: str) -> tuple[int, str]:
        main, end = os.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "tailgit", *words],
            stdin=end,
            stdout=end,
            stderr=end,
            env={**os.environ, "PYTHONPATH": "controller"},
            cwd=Path(__file__).parents[2],
        )
        os.close(end)
        os.write(main, typed.encode())
        shown = b""
        while True:
            try:
                chunk = os.read(main, 4096)
            except OSError:
                break
            if not chunk:
                break
            shown += chunk
        os.close(main)
        return process.wait(60), shown.decode(errors="replace")

    return run
