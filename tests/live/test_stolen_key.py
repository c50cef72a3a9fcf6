"""The controller's login key in the wrong hands: nothing but signed bundles is loaded.

Tried by hand with that key and plain OpenSSH, as a thief would.
"""

from __future__ import annotations

import pytest

from tailgit.lab import CONTROLLER
from tailgit.lab.furnish import HOME
from tests.live.network import NAME, STATE

pytestmark = pytest.mark.live

KEY = HOME / ".ssh" / "id_ed25519"
OPTIONS = f"-F none -o BatchMode=yes -o ConnectTimeout=5 -i {KEY} -o IdentitiesOnly=yes"
TRUST = "-o UserKnownHostsFile=/run/tailgit-lab/known_hosts"

SHELLS = [
    "",
    "id",
    "sh",
    "bash -i",
    "/bin/sh -c id",
    "observe small; id",
    "observe small && id",
    "observe small | id",
    "observe $(id)",
    "observe `id`",
    "observe 'small'",
    "observe small\nid",
    "sudo id",
    "sudo -n /bin/sh",
    "/usr/local/lib/tailgit/tailgit-node request observe small",
    "serve",
    "request observe small",
    "enroll small",
    "boot small",
    "down small",
    "guard small",
    "join small",
    "pull small",
    "load small",
    "fetch small none",
    "observe ../small",
    "observe other",
    "observe --help",
    "scp -t /tmp",
    "internal-sftp",
    "rsync --server . /",
    "git-upload-pack /",
    "activate small 1",
    "rollback small",
    "upgrade",
]


def thief(network, script: str) -> tuple[int, str]:
    """A shell script on the controller, where the key lies; status and what it said."""
    address = network.lab.addresses("beta")[0]
    text = f'ssh() {{ timeout 8 ssh {OPTIONS} {TRUST} "$@"; }}; to=tailgit@{address}\n'
    done = network.lab.run(
        CONTROLLER, ["sh", "-uc", text + script], timeout=60, input=b""
    )
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


@pytest.fixture
def untouched(network):
    """Nothing on the node may differ after the test: files, table, interface."""

    def look() -> str:
        return network.sh(
            "beta",
            f"cat {STATE}/current; ls {STATE}/generations; ls -l /tmp /root; "
            "nft -a list table inet tailgit_small | grep -v counter; "
            "wg show tg-small allowed-ips | sort; "
            "cat /etc/passwd /etc/tailgit/*/allowed*",
        )

    before = look()
    yield
    assert look() == before


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("command", SHELLS)
def test_no_command_but_the_protocols_requests(network, command: str):
    """The words are checked and never evaluated; a shell, scp or sudo is no request."""
    status, said = thief(network, f'ssh "$to" {_quoted(command)}')
    assert status != 0
    assert "uid=" not in said
    assert "result\terror" in said, said


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "script",
    [
        'ssh -tt "$to" </dev/null',
        f'scp {OPTIONS} {TRUST} /etc/hostname "$to":/tmp/stolen',
        f'scp -O {OPTIONS} {TRUST} /etc/hostname "$to":/tmp/stolen',
        f'echo "put /etc/hostname /tmp/stolen" | sftp -b - {OPTIONS} {TRUST} "$to"',
        (
            'ssh -o ExitOnForwardFailure=yes -N -L 127.0.0.1:4022:127.0.0.1:22 "$to" & '
            "sleep 2; ssh-keyscan -T 3 -p 4022 127.0.0.1 | grep . ; "
            "[ $? -eq 0 ]"
        ),
        'ssh -o ExitOnForwardFailure=yes -N -R 4023:127.0.0.1:22 "$to"',
        'ssh -W 127.0.0.1:22 "$to" | grep SSH-2.0',
        (
            'ssh -o ExitOnForwardFailure=yes -N -D 4024 "$to" & sleep 2; '
            "curl -s -m 3 --socks5 127.0.0.1:4024 http://127.0.0.1:22/ | grep SSH; "
            "[ $? -eq 0 ]"
        ),
        'ssh -o ExitOnForwardFailure=yes -N -w 0:0 "$to"',
        'ssh -A "$to" "ssh-add -l" | grep -v TAILGIT | grep SHA256',
        'ssh -X "$to" xterm',
    ],
    ids=lambda s: s.split()[1] if s.startswith("ssh -") else s.split()[0],
)
def test_no_shell_no_files_no_forwarding(network, script: str):
    """`restrict` and the forced command leave nothing to work with."""
    status, said = thief(network, script)
    assert status != 0, said


@pytest.mark.usefixtures("untouched")
def test_unsigned_and_foreign_signed_bundles_are_refused(network):
    """The login key opens the door; what is loaded needs the signing key."""
    made = f"""
        d=$(mktemp -d); cd "$d"
        printf 'tailgit-apply 1\\nroot %064d\\n' 0 >statement
        printf 'tailgit-envelope 1\\n' >envelope; : >path; echo x >manifest
        tar --format=ustar -cf bundle.tar manifest
        ssh-keygen -q -t ed25519 -N '' -f thief
        SIGN
        tar --format=ustar -cf parcel envelope statement statement.sig path bundle.tar
        ssh "$to" 'stage {NAME} none' <parcel
    """
    for sign in (
        ": >statement.sig",
        "echo rubbish >statement.sig",
        f"ssh-keygen -q -Y sign -n tailgit@{NAME} -f thief statement 2>/dev/null",
        f"ssh-keygen -q -Y sign -n tailgit@other -f {KEY} statement 2>/dev/null",
        f"ssh-keygen -q -Y sign -n file -f {KEY} statement 2>/dev/null",
    ):
        _, said = thief(network, made.replace("SIGN", sign))
        assert "error\tbad-signature" in said, (sign, said)


@pytest.mark.usefixtures("untouched")
def test_an_unsigned_script_is_no_upgrade(network):
    """Else the login key would be root on every node."""
    script = f"""
        d=$(mktemp -d); cd "$d"
        printf '#!/bin/sh\\n# tailgit-node: mine\\nid\\n' >tailgit-node
        printf 'tailgit-upgrade 1\\nserial 999999\\nscript %s\\n' \
            "$(sha256sum <tailgit-node | cut -d' ' -f1)" >statement
        ssh-keygen -q -t ed25519 -N '' -f thief
        ssh-keygen -q -Y sign -n tailgit@{NAME} -f thief statement 2>/dev/null
        tar --format=ustar -cf up statement statement.sig tailgit-node
        ssh "$to" 'upgrade {NAME}' <up
    """
    _, said = thief(network, script)
    assert "error\tbad-signature" in said, said
