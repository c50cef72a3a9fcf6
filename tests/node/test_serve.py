"""serve: whatever SSH_ORIGINAL_COMMAND says, words are checked and never run."""

from __future__ import annotations

import pytest

from tests.node.nodes import NAME, SELF, Node

pytestmark = pytest.mark.live

HOSTILE = [
    "",
    " ",
    "id",
    "observe",
    "observe acme extra",
    " observe acme",
    "observe acme ",
    "observe  acme",
    "observe\tacme",
    "observe acme\n",
    "observe acme\ntouch /run/pwned",
    "observe acme; touch /run/pwned",
    "observe acme && touch /run/pwned",
    "observe acme | touch /run/pwned",
    "observe acme & touch /run/pwned",
    "observe $(touch /run/pwned)",
    "observe `touch /run/pwned`",
    "observe ${IFS}",
    "observe acme > /run/pwned",
    "observe *",
    "observe ?cme",
    "observe [a]cme",
    "observe ~root",
    "observe '../acme'",
    "observe ..",
    "observe .",
    "observe acme/..",
    "observe ../acme",
    "observe /etc",
    "observe -acme",
    "-observe acme",
    "--help",
    "-c id",
    "observe ACME",
    "observe acme-much-too-long",
    "observe 1acme",
    "activate acme",
    "activate acme 0",
    "activate acme -1",
    "activate acme 01",
    "activate acme 1a",
    "activate acme ../1",
    "activate acme 99999999999999999999",
    "activate acme 1 2",
    "activate acme 1",
    "activate acme 1 60",
    "activate acme 1 9 none",
    "activate acme 1 3601 none",
    "activate acme 1 060 none",
    "activate acme 1 60 NONE",
    "activate acme 1 60 0123456789abcde",
    "activate acme 1 60 0123456789abcdeF",
    "activate acme 1 60 none more",
    "stage acme",
    "stage acme ../../etc/passwd",
    "confirm acme 1",
    "rollback acme none",
    "unlock acme",
    "suspend acme none",
    "suspend acme soon none",
    "suspend acme 99999999999999999999 none",
    "log acme",
    "log acme -1",
    "probe acme 100.64.7.9",
    "probe acme db-1 22",
    "probe acme -oProxyCommand=id 22",
    "probe acme 100.64.7.9 0",
    "probe acme 100.64.7.9 65536",
    "key acme more",
    "upgrade acme none",
    "timer acme",
    "confirm acme 1 --force",
    "stage acme 1",
    "boot acme",
    "down acme",
    "guard acme",
    "enroll acme",
    "request observe acme",
    "serve observe acme",
    "observe äcme",
    "observe \x1b[2J",
    "observe acme\\",
    "observe 'acme'",
    'observe "acme"',
    "x" * 100_000,
]


@pytest.mark.parametrize("command", HOSTILE, ids=lambda c: repr(c[:40]))
def test_what_is_no_request_is_refused(refusing: Node, command: str) -> None:
    """The answer is `bad-request`, nothing runs and nothing is written."""
    before = refusing.fingerprint()
    answer = refusing.serve(command)
    assert answer.error == "bad-request"
    assert answer.status == 1
    assert not refusing.path("/run/pwned").exists()
    assert refusing.fingerprint() == before


def test_a_request_is_passed_on(refusing: Node) -> None:
    """A good request gets the answer of `request`."""
    answer = refusing.serve(f"observe {NAME}")
    assert (answer["verb"], answer["result"]) == ("observe", "ok")
    assert refusing.serve(f"activate {NAME} 5 60 none").error == "no-generation"
    assert refusing.serve(f"stage {NAME} none", stdin=b"x").error == "bad-parcel"


CHANGING = [
    "stage acme none",
    "activate acme 1 60 none",
    "confirm acme 1 none",
    "rollback acme 1 none",
    "unlock acme 0123456789abcdef",
    "suspend acme 4000000000 none",
    "resume acme none",
    "key acme",
    "probe acme 100.64.7.9 22",
    "upgrade acme",
]


@pytest.mark.parametrize("command", CHANGING)
def test_an_observers_key_may_only_observe(refusing: Node, command: str) -> None:
    """`serve --observe` refuses every other verb before root is asked."""
    assert refusing.serve(command, "--observe").error == "read-only"
    assert refusing.serve(f"observe {NAME}", "--observe")["result"] == "ok"
    assert refusing.serve("rm acme", "--observe").error == "bad-request"


def test_a_variable_of_the_session_changes_nothing(refusing: Node) -> None:
    """Paths, options of tar and the shell's start-up file can't be set from outside."""
    env = {
        "SSH_ORIGINAL_COMMAND": f"observe {NAME}",
        "PATH": "/run",
        "ENV": "/run/evil",
        "TAR_OPTIONS": "--to-command=touch${IFS}/run/pwned",
        "VAR": "/run",
        "ETC": "/run",
        "SELF": "/bin/true",
        "conf": "/run",
        "observed": "evil",
        "recording": "yes",
        "IFS": "abc",
        "given_up": "2 1",
        "next_of": "1:1",
        "at_work": "yes",
        "as_of": "behind",
    }
    refusing.write("/run/evil", "touch /run/pwned\n", 0o755)
    refusing.write("/run/sed", "#!/bin/sh\ntouch /run/pwned\n", 0o755)
    hostile = [f"{name}={value}" for name, value in env.items()]
    done = refusing.run("/usr/bin/env", "-i", *hostile, SELF, "serve", check=False)
    assert b"result\tok" in done.stdout
    assert b"evil" not in done.stdout
    assert not refusing.path("/run/pwned").exists()


@pytest.mark.parametrize("arguments", [["--all"], ["observe"], ["--observe", "x"]])
def test_serve_takes_no_other_argument(refusing: Node, arguments: list[str]) -> None:
    """A key line with a typing error serves nobody."""
    assert refusing.run(SELF, "serve", *arguments, check=False).returncode == 64


def test_help_and_version(refusing: Node) -> None:
    """Both are on standard output; anything unknown is a usage error."""
    assert b"tailgit-node serve" in refusing.run(SELF, "--help").stdout
    assert refusing.run(SELF, "version").stdout == b"tailgit-node 0.1.0\n"
    for wrong in ([], ["nonsense"], ["boot"], ["boot", "a", "b"]):
        assert refusing.run(SELF, *wrong, check=False).returncode == 64
    assert refusing.run(SELF, "boot", "../x", check=False).returncode == 1
