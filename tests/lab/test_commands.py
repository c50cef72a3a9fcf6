"""`tailgit lab` as people type it: up, status, exec, verify, down."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tailgit.lab import running

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "controller")}
TAILGIT = [sys.executable, "-m", "tailgit"]

TAILNET = """\
tailnet:
  format: 1
  name: tiny
  domain: tiny.internal
  ipv4: 100.64.0.0/10
  ipv6: fd5c:91aa:7be0::/48
users: {ana@acme.com: {}}
devices:
  # The one with the data.
  db-1:
    tags: [tag:db]
    endpoints: ["203.0.113.10:51820", "[2001:db8:1::10]:51820"]
  web-1:
    owner: ana@acme.com
    endpoints: ["198.51.100.7:51821"]
tagOwners: {tag:db: [ana@acme.com]}
grants:
  - {src: [ana@acme.com], dst: [tag:db], ip: ["tcp:5432"]}
tests:
  - {src: ana@acme.com, proto: tcp, accept: ["db-1:5432"], deny: ["db-1:22"]}
"""


def git(*words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.check_output(["git", *identity, *words], text=True)


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repo")
    (folder / "tailnet.yaml").write_text(TAILNET)
    git("init", "--quiet", str(folder))
    git("-C", str(folder), "add", ".")
    git("-C", str(folder), "commit", "--quiet", "-m", "Begin")
    return folder


def lab(*words: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TAILGIT, "lab", *map(str, words)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=120,
        **more,  # type: ignore[call-overload]
    )


@pytest.fixture(scope="module")
def name(repo: Path) -> Iterator[str]:
    """A whole tailnet: enrolled and applied."""
    name = f"cmd-{os.getpid()}"
    done = lab("up", repo, "--name", name)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "db-1  203.0.113.10 2001:db8:1::10\nweb-1  198.51.100.7\n"
    yield name
    done = lab("down", "--name", name)
    assert (done.returncode, done.stdout) == (0, "")
    assert name not in running()


def test_up_enrolls_in_a_clone(repo: Path, name: str) -> None:
    """The nodes have a tunnel; the keys are committed in the lab's clone only."""
    done = lab("exec", "--name", name, "db-1", "--", "wg", "show", "tg-tiny", "peers")
    assert len(done.stdout.splitlines()) == 1
    clone = ["git", "-C", "/run/tailgit-lab/repo"]
    done = lab(
        "exec", "--name", name, "@controller", "--", *clone, "log", "--format=%s"
    )
    assert done.stdout.splitlines() == ["Enroll the lab", "Begin"]
    assert (repo / "tailnet.yaml").read_text() == TAILNET
    assert git("-C", str(repo), "status", "--porcelain") == ""


def test_verify_sends_packets_through_the_tunnels(repo: Path, name: str) -> None:
    """What the tests promise is what the packets do; the report says so."""
    done = lab("verify", repo, "--name", name)
    assert done.stdout.splitlines()[-1] == "4 of 4 expectations met"
    assert done.returncode == 0


def test_verify_notices_an_open_door(repo: Path, name: str) -> None:
    """Without its filter a node is reached where it must not be: exit 3, named."""
    shut = [
        "sh",
        "-c",
        "kill -STOP $(pgrep -f '[g]uard tiny'); nft delete table inet tailgit_tiny",
    ]
    for node in ("db-1", "web-1"):
        assert lab("exec", "--name", name, node, "--", *shut).returncode == 0
    done = lab("verify", repo, "--name", name, "--format", "json")
    assert done.returncode == 3
    document = json.loads(done.stdout)
    assert (document["met"], document["failed"]) == (2, 2)
    (failed, _) = [v for v in document["verdicts"] if not v["met"]]
    assert failed["expected"] == "deny"
    assert failed["probes"][0]["result"] == "passed"
    resume = ["sh", "-c", "kill -CONT $(pgrep -f '[g]uard tiny')"]
    for node in ("db-1", "web-1"):
        assert lab("exec", "--name", name, node, "--", *resume).returncode == 0


def test_exec_passes_everything_through(name: str) -> None:
    """Input, output, errors and the exit code are those of the command."""
    script = "cat; echo oops >&2; exit 9"
    done = lab("exec", "--name", name, "web-1", "--", "sh", "-c", script, input="in")
    assert (done.stdout, done.stderr, done.returncode) == ("in", "oops\n", 9)
    done = lab("exec", "--name", name, "@controller", "ssh", "root@db-1", "hostname")
    assert done.stdout == "db-1\n"


def test_ctrl_c_is_for_the_command(name: str) -> None:
    """The command gets the interrupt and decides; exec reports how it ended."""
    script = "trap 'echo caught; exit 5' INT; echo ready; sleep 20 & wait"
    with subprocess.Popen(
        [*TAILGIT, "lab", "exec", "--name", name, "db-1", "--", "sh", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        process_group=0,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout.readline() == "caught\n"
        assert process.wait(10) == 5


def test_status_lists_what_is_up(repo: Path, name: str) -> None:
    """Names, machines, addresses and the repository, as text and as data."""
    lines = lab("status").stdout.splitlines()
    assert f"{name}  {repo}" in lines
    assert "  db-1  203.0.113.10 2001:db8:1::10" in lines
    document = json.loads(lab("status", "--format", "json").stdout)
    (found,) = [each for each in document["labs"] if each["name"] == name]
    roles = {machine["name"]: machine["role"] for machine in found["machines"]}
    assert roles == {
        "@controller": "controller",
        "@internet": "router",
        "db-1": "node",
        "web-1": "node",
    }


def test_mistakes_are_said_in_one_sentence(repo: Path, name: str) -> None:
    """A lab that is up already, a machine and a lab that do not exist."""
    done = lab("up", repo, "--name", name, "--bare")
    assert done.returncode == 1
    assert f"error: lab {name} is already up\n" in done.stderr
    done = lab("exec", "--name", name, "db-2", "--", "true")
    assert "no machine db-2\n  help: it has @controller, db-1, web-1" in done.stderr
    assert lab("down", "--name", "no-such-lab").returncode == 1
    assert "Traceback" not in done.stderr


def test_killing_up_while_it_enrolls_leaves_nothing(repo: Path) -> None:
    """kill -9 in the middle of an enrolment: the lab is gone, with what ran in it."""
    name = f"mid-{os.getpid()}"
    with subprocess.Popen(
        [*TAILGIT, "lab", "up", str(repo), "--name", name],
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("enroll web-1"):
                break
        assert name in running()
        process.kill()
    deadline = time.monotonic() + 10
    while name in running() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert name not in running()
