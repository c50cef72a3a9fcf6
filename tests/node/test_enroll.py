"""enroll: a machine becomes a node; and the whole way through a real sshd."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.node.nodes import KEYS, NAME, SCRIPT, SELF, STATE, Answer, Node, parse, wait
from tests.node.parcel import Parcel, Signer

pytestmark = pytest.mark.live

HOME = "/var/lib/tailgit"
AUTHORIZED = f"{HOME}/.ssh/authorized_keys"


def enroll(node: Node, lines: str, name: str = NAME) -> Answer:
    done = node.run(
        *("sh", "/run/new/tailgit-node", "enroll", name),
        stdin=lines.encode(),
        check=False,
    )
    return parse(done.stdout, done.returncode)


def enrolment(node: Node, *controllers: Signer) -> str:
    keys = controllers or (node.signer,)
    lines = [f"controller {key.public}\n" for key in keys]
    return "".join([*lines, f"signer ana@acme.com {node.signer.public}\n"])


def mode(node: Node, path: str) -> int:
    found = node.path(path).stat()
    assert (found.st_uid, found.st_gid) == (0, 0), path
    return stat.S_IMODE(found.st_mode)


def test_a_machine_becomes_a_node(bare: Node) -> None:
    """Script, user, sudo line, signers and a key of its own are there."""
    answer = enroll(bare, enrolment(bare))
    assert (answer["verb"], answer["result"]) == ("enroll", "ok"), answer.fields
    assert bare.path(SELF).read_bytes() == SCRIPT.read_bytes()
    assert mode(bare, SELF) == 0o755
    passwd = bare.sh("getent passwd tailgit").strip().split(":")
    assert passwd[5:] == [HOME, "/bin/sh"]
    assert int(passwd[2]) > 0
    assert bare.sh("getent shadow tailgit").split(":")[1] == "*"
    assert bare.read(AUTHORIZED) == (
        f'restrict,command="{SELF} serve" {bare.signer.public} tailgit:{NAME}\n'
    )
    assert mode(bare, AUTHORIZED) == 0o644
    assert mode(bare, f"{HOME}/.ssh") == 0o755
    assert mode(bare, HOME) == 0o755
    assert mode(bare, f"/etc/tailgit/{NAME}/allowed_signers") == 0o644
    (key,) = bare.path(KEYS).iterdir()
    assert mode(bare, f"{KEYS}/{key.name}") == 0o600
    public = bare.run("wg", "pubkey", stdin=key.read_bytes()).stdout.decode().strip()
    assert answer.all("publicKey") == [public]
    assert key.name == public[:16].replace("+", "-").replace("/", "_")
    assert mode(bare, "/etc/sudoers.d/tailgit") == 0o440
    bare.run("visudo", "-c")
    assert list(bare.path("/etc/sudoers.d").glob("tailgit?*")) == []
    assert bare.observe()["publicKey"] == public


def test_enrolled_again_only_what_differs_changes(bare: Node) -> None:
    """The same enrolment leaves every file's inode and time alone."""
    first = enroll(bare, enrolment(bare))
    files = bare.fingerprint()
    inodes = [bare.path(p).stat().st_ino for p in (SELF, AUTHORIZED, "/etc/passwd")]
    assert enroll(bare, enrolment(bare)).fields == first.fields
    after = bare.fingerprint()
    folder = f"etc/tailgit/{NAME}"
    changed = {path for path in files if after[path] != files[path]}
    assert changed <= {folder}
    assert inodes == [
        bare.path(p).stat().st_ino for p in (SELF, AUTHORIZED, "/etc/passwd")
    ]


def test_keys_are_replaced_for_their_tailnet_alone(bare: Node, tmp_path: Path) -> None:
    """A second tailnet's controller keeps its line when the first one's changes."""
    other, new = Signer.make(tmp_path, "other"), Signer.make(tmp_path, "new")
    enroll(bare, enrolment(bare))
    enroll(bare, enrolment(bare, other), "second")
    own = bare.signer.public
    observer = f"observer {own}\n"
    enroll(bare, enrolment(bare, new) + observer)
    assert bare.read(AUTHORIZED).splitlines() == [
        f'restrict,command="{SELF} serve" {other.public} tailgit:second',
        f'restrict,command="{SELF} serve" {new.public} tailgit:{NAME}',
        f'restrict,command="{SELF} serve --observe" {own} tailgit:{NAME}',
    ]


def test_a_key_that_is_there_is_never_replaced(bare: Node) -> None:
    """An owner's own key stays the node's key."""
    bare.path(KEYS).mkdir(parents=True)
    private = bare.run("wg", "genkey").stdout
    public = bare.run("wg", "pubkey", stdin=private).stdout.decode().strip()
    bare.path(f"{KEYS}/mine").write_bytes(private)
    assert enroll(bare, enrolment(bare))["publicKey"] == public
    assert [path.name for path in bare.path(KEYS).iterdir()] == ["mine"]


def test_a_home_that_was_the_users_becomes_roots(bare: Node) -> None:
    """Who was `tailgit` before us can't change his home any more, and his keys go."""
    bare.sh(
        f"useradd --system --home-dir {HOME} tailgit; mkdir -p {HOME}/.ssh;"
        f"echo 'ssh-ed25519 AAAA planted' >{AUTHORIZED}; chown -R tailgit {HOME};"
        f"chmod -R 0777 {HOME}"
    )
    assert enroll(bare, enrolment(bare))["result"] == "ok"
    assert mode(bare, HOME) == mode(bare, f"{HOME}/.ssh") == 0o755
    assert mode(bare, AUTHORIZED) == 0o644
    assert bare.read(AUTHORIZED).splitlines() == [
        f'restrict,command="{SELF} serve" {bare.signer.public} tailgit:{NAME}'
    ]
    owned = bare.sh(f"find {HOME} -user tailgit; su tailgit -c 'touch {HOME}/x' || :")
    assert owned == ""
    assert not bare.path(f"{HOME}/x").exists()


@pytest.mark.parametrize("planted", ["home", "keys", "state"])
def test_a_link_in_place_of_a_folder_is_refused(bare: Node, planted: str) -> None:
    """Nothing is written through a link, and what it leads to keeps its owner."""
    bare.sh("mkdir -m 0700 /run/elsewhere; chown 1 /run/elsewhere")
    at = {"home": HOME, "keys": f"{HOME}/.ssh", "state": STATE}[planted]
    bare.sh(f"mkdir -p $(dirname {at}); ln -s /run/elsewhere {at}")
    answer = enroll(bare, enrolment(bare))
    assert answer.error == "check-failed", answer.fields
    assert at in answer["message"]
    kept = bare.path("/run/elsewhere")
    assert (kept.stat().st_uid, stat.S_IMODE(kept.stat().st_mode)) == (1, 0o700)
    assert list(kept.iterdir()) == []
    assert not bare.path(SELF).exists()


def test_generations_that_are_not_roots_are_refused(bare: Node) -> None:
    """A generation is trusted for lying there, so nobody else may have put it there."""
    bare.sh(f"mkdir -p {STATE}/generations/1; chown 1 {STATE}/generations/1")
    answer = enroll(bare, enrolment(bare))
    assert answer.error == "check-failed"
    assert f"{STATE}/generations/1" in answer["message"]
    assert not bare.path(SELF).exists()


@pytest.mark.parametrize(
    "lines",
    [
        "",
        "controller ssh-ed25519 rubbish\nsigner a ssh-ed25519 rubbish\n",
        "controller {key}\n",
        "signer ana@acme.com {key}\n",
        "controller {key}\ncontroller {key}\nsigner a {key}\n",
        "controller {key}\nsigner a {key}\nroot {key}\n",
        "controller {key}\nsigner a {key}\n\n",
        "controller {key} comment\nsigner a {key}\n",
        "controller {key}\nsigner {key}\n",
        "controller {key}\nsigner a b {key}\n",
        "controller {key}\nsigner * {key}\n",
        "controller {key}\nsigner a,b {key}\n",
        'controller {key}\nsigner a" {key}\n',
        'controller command="id" {key}\nsigner a {key}\n',
        "controller cert-authority {key}\nsigner a {key}\n",
        "controller {key}\nsigner $(id) {key}\n",
        "controller {key}\nsigner a {key}\nobserver {key} x\n",
        "controller  {key}\nsigner a {key}\n",
        " controller {key}\nsigner a {key}\n",
        "controller {key}\r\nsigner a {key}\r\n",
        "controller {key}\nsigner a {key}\nobserver ssh-ed25519 AAAA\n",
    ],
)
def test_an_enrolment_that_is_malformed_changes_nothing(
    refusing: Node, lines: str
) -> None:
    """Every line is understood or the machine stays as it was."""
    before = refusing.fingerprint()
    refusing.write("/run/new/tailgit-node", SCRIPT.read_text())
    answer = enroll(refusing, lines.replace("{key}", refusing.signer.public))
    assert answer.error == "bad-request", answer.fields
    assert refusing.fingerprint() == before
    assert not refusing.path(HOME).joinpath(".ssh").exists()
    assert refusing.run("id", "tailgit", check=False).returncode != 0


# Takes a tool away for this node alone; `umount /usr/sbin` brings it back.
HIDE = """
mkdir /run/upper /run/work
layers=lowerdir=/usr/sbin,upperdir=/run/upper,workdir=/run/work
mount -t overlay -o "$layers" overlay /usr/sbin
rm /usr/sbin/nft
"""


def test_only_missing_packages_are_installed(bare: Node) -> None:
    """apt-get is asked for the one package whose tool is not there, without extras."""
    bare.write(
        "/usr/local/sbin/apt-get",
        '#!/bin/sh\necho "$*" >>/run/apt\n[ "$1" = update ] || umount /usr/sbin\n',
        0o755,
    )
    bare.sh(HIDE)
    assert enroll(bare, enrolment(bare))["result"] == "ok"
    assert bare.read("/run/apt").splitlines() == [
        "update",
        "install -y --no-install-recommends nftables",
    ]
    assert enroll(bare, enrolment(bare))["result"] == "ok"
    assert len(bare.read("/run/apt").splitlines()) == 2


def test_a_package_that_cannot_be_installed_is_said(bare: Node) -> None:
    """The answer names it; nothing else was begun."""
    bare.write("/usr/local/sbin/apt-get", "#!/bin/sh\nexit 100\n", 0o755)
    bare.sh(HIDE)
    answer = enroll(bare, enrolment(bare))
    assert answer.error == "check-failed"
    assert "nftables" in answer["message"]
    assert not bare.path(SELF).exists()


def test_with_systemd_a_unit_starts_and_guards(bare: Node, tmp_path: Path) -> None:
    """The unit's text is valid, enabled, and what activate starts instead of a loop."""
    bare.path("/run/systemd/system").mkdir(parents=True)
    systemctl = '#!/bin/sh\necho "systemctl $*" >>/run/systemctl\n'
    bare.write("/usr/local/sbin/systemctl", systemctl, 0o755)
    runner = (
        '#!/bin/sh\necho "systemd-run $*" >>/run/systemctl\n'
        'while [ "${1#--}" != "$1" ]; do shift; done\n'
        'setsid "$@" >/dev/null 2>&1 </dev/null &\n'
    )
    bare.write("/usr/local/sbin/systemd-run", runner, 0o755)
    answer = enroll(bare, enrolment(bare))
    assert answer["result"] == "ok", answer.fields
    assert bare.read("/run/systemctl").splitlines() == [
        "systemctl daemon-reload",
        f"systemctl --quiet enable tailgit@{NAME}.service",
    ]
    unit = bare.read("/etc/systemd/system/tailgit@.service")
    assert f"ExecStartPre={SELF} boot %i\nExecStart={SELF} guard %i\n" in unit
    after = next(line for line in unit.splitlines() if line.startswith("After="))
    assert {"nftables.service", "firewalld.service"} <= set(after[6:].split())
    if shutil.which("systemd-analyze"):
        verify(unit, tmp_path)
    bare.public = answer["publicKey"]
    bare.apply(bare.parcel())
    calls = bare.read("/run/systemctl").splitlines()[2:]
    timer = f"--unit=tailgit-{NAME}-timer {SELF} timer {NAME}"
    started = f"--unit=wireguard-tg-{NAME} wireguard-go --foreground tg-{NAME}"
    assert calls == [
        f"systemd-run --quiet --collect {timer}",
        f"systemd-run --quiet --collect {started}",
        # activate sees to it that it is guarded, and confirm again.
        *[f"systemctl --no-block start tailgit@{NAME}.service"] * 2,
    ]
    assert bare.guards() == []


def verify(unit: str, folder: Path) -> None:
    """systemd's own check of the unit, with a script that exists at its path."""
    stand_in = folder / "tailgit-node"
    shutil.copy(SCRIPT, stand_in)
    path = folder / "tailgit@acme.service"
    path.write_text(unit.replace(SELF, str(stand_in)))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(path)], capture_output=True, text=True
    )
    complaints = [x for x in done.stderr.splitlines() if "tailgit@acme" in x]
    assert (done.returncode, complaints) == (0, []), done.stderr


def test_with_openrc_a_script_starts_it(bare: Node) -> None:
    """Alpine has no systemd; its `local` service runs what lies in /etc/local.d."""
    bare.path("/etc/local.d").mkdir()
    called = '#!/bin/sh\necho "$*" >/run/rc-update\n'
    bare.write("/usr/local/sbin/rc-update", called, 0o755)
    assert enroll(bare, enrolment(bare))["result"] == "ok"
    assert bare.read(f"/etc/local.d/tailgit-{NAME}.start") == (
        f"#!/bin/sh\nexec {SELF} boot {NAME}\n"
    )
    assert bare.read("/run/rc-update") == "--quiet add local default\n"


def test_enroll_wants_the_script_as_a_file(bare: Node) -> None:
    """Piped into a shell it has no file of its own to install, and says so."""
    done = bare.run(
        *("sh", "-s", "enroll", NAME), stdin=SCRIPT.read_bytes(), check=False
    )
    assert done.returncode != 0
    assert not bare.path(SELF).exists()


def ssh(
    node: Node, command: str, stdin: bytes = b"", key: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    options = ["-p", "2222", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes"]
    options += ["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
    # The key lies on the host; the node's own files are another mount namespace.
    node.write("/run/login", (key or node.signer.key).read_text())
    return node.run(
        *("ssh", *options, "-i", "/run/login", "tailgit@127.0.0.1", command),
        stdin=stdin,
        check=False,
    )


@pytest.fixture
def served(bare: Node) -> Node:
    """An enrolled node with a real sshd on port 2222 of its own loopback."""
    answer = enroll(bare, enrolment(bare))
    bare.public = answer["publicKey"]
    bare.sh(
        "mkdir -p /run/sshd /etc/ssh; ssh-keygen -q -t ed25519 -N '' -f /run/host_key;"
        "/usr/sbin/sshd -f /dev/null -p 2222 -h /run/host_key -o PidFile=none"
        " -o StrictModes=yes -o PasswordAuthentication=no -o UsePAM=yes"
    )
    wait(lambda: ssh(bare, "x").stdout != b"", 20)
    return bare


def test_the_whole_way_through_sshd_and_sudo(served: Node) -> None:
    """Forced command, sudo line and signature let a bundle in, and nothing else."""
    parcel = Parcel([served.public], served.signer).build()
    for command, stdin in (
        (f"stage {NAME} none", parcel),
        (f"activate {NAME} 1 60 none", b""),
        (f"confirm {NAME} 1 none", b""),
        (f"observe {NAME}", b""),
    ):
        done = ssh(served, command, stdin)
        assert parse(done.stdout)["result"] == "ok", (command, done)
    assert served.current() == "1"
    assert served.observe()["interface"] == "up"
    for hostile in ("id", "sh", "", f"observe {NAME}; id", f"boot {NAME}"):
        done = ssh(served, hostile)
        assert parse(done.stdout).error == "bad-request", hostile
        assert b"uid=" not in done.stdout + done.stderr


def test_the_login_may_run_nothing_but_requests(served: Node) -> None:
    """As tailgit, sudo runs `request` and no other verb, and the keys stay closed."""
    as_user = "su tailgit -s /bin/sh -c "
    for verb in (f"down {NAME}", f"boot {NAME}", "enroll x", "serve", "--help"):
        done = served.run("sh", "-c", f"{as_user}'sudo -n {SELF} {verb}'", check=False)
        assert done.returncode != 0, verb
        assert b"TAILGIT" not in done.stdout
    done = served.run("sh", "-c", f"{as_user}'cat {KEYS}/*'", check=False)
    assert b"Permission denied" in done.stderr or b"can't open" in done.stderr
    for path in (AUTHORIZED, SELF, STATE, "/etc/tailgit", "/etc/sudoers.d/tailgit"):
        done = served.run("sh", "-c", f"{as_user}'test -w {path}'", check=False)
        assert done.returncode != 0, path


def test_a_connection_cut_during_activate_loses_the_answer_only(served: Node) -> None:
    """The ssh client is killed while nft loads; the node ends its work."""
    parcel = Parcel([served.public], served.signer).build()
    assert parse(ssh(served, f"stage {NAME} none", parcel).stdout)["result"] == "ok"
    served.write(
        "/usr/local/sbin/wg",
        "#!/bin/sh\nPATH=/usr/bin:/bin\n"
        'case $1 in syncconf) echo >/run/reached; sleep 1 ;; esac\nexec wg "$@"\n',
        0o755,
    )
    client = subprocess.Popen(
        served.enter(
            *(
                "ssh",
                "-p",
                "2222",
                "-o",
                "StrictHostKeyChecking=no",
                "-i",
                "/run/login",
            ),
            *("-o", "UserKnownHostsFile=/dev/null", "tailgit@127.0.0.1"),
            f"activate {NAME} 1 60 none",
        ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait(lambda: served.path("/run/reached").exists(), 20)
    served.sh("kill -9 $(ps -ef | awk '/[s]sh -p 2222/ { print $2 }')")
    client.wait(timeout=20)
    wait(lambda: served.path(f"/run/tailgit/{NAME}/live").exists(), 20)
    wait(lambda: served.observe()["live"] == "1", 20)
    kept = parse(served.path(f"{STATE}/answer").read_bytes())
    assert (kept["verb"], kept["result"]) == ("activate", "ok")
