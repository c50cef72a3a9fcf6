"""What is pushed to: one sshd with many addresses, a repository that names them all."""

from __future__ import annotations

import shutil
import subprocess
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tailgit.compile import Bundle, compile_tailnet
from tailgit.deploy.fleet import Fleet
from tailgit.deploy.identity import identity
from tailgit.deploy.ssh import AsyncSsh, Login
from tailgit.deploy.sshconfig import read
from tailgit.load import load
from tailgit.model.tailnet import Tailnet
from tailgit.plan.plan import Commit
from tests.deploy.frames import observation, ok
from tests.deploy.sshd import make_key, public

PORT = 2200
PARALLEL = 100

_SSHD = """
ListenAddress 0.0.0.0:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
LogLevel QUIET
MaxStartups 1000
Subsystem sftp internal-sftp
"""
_FORCED = """#!/bin/sh
set -- $SSH_ORIGINAL_COMMAND $SSH_CONNECTION
case $1 in
stage) cat >/dev/null ;;
observe) exec cat {folder}/answers/"$5" ;;
esac
exec cat {folder}/verbs/"$1"
"""
_TAILNET = """tailnet:
  format: 1
  name: acme
  domain: acme.internal
  ipv4: 100.64.0.0/10
  ipv6: fd5c:91aa:7be0::/48
  controller: {outside: true}
tagOwners: {tag:web: []}
grants:
  - {src: [tag:web], dst: [tag:web], ip: ["tcp:443"]}
devices:
"""


@dataclass(frozen=True, slots=True)
class Ground:
    """What is pushed to whom; `folder` holds everything of the benchmark."""

    folder: Path
    logins: list[Login]
    tailnet: Tailnet
    commit: Commit
    bundles: Mapping[str, Bundle]

    @property
    def key(self) -> Path:
        return self.folder / "controller"

    def fleet(self) -> Fleet:
        executor = AsyncSsh(identity(self.key), config=read("none"))
        fleet = Fleet(executor, "acme", parallel=PARALLEL)
        fleet.call(self.logins)
        return fleet

    @property
    def nodes(self) -> list[str]:
        return [login.node for login in self.logins]

    def answer(self, which: str) -> None:
        """From now on nodes are as they were after `fresh` or `applied`."""
        link = self.folder / "answers"
        link.unlink(missing_ok=True)
        link.symlink_to(which)


def ground(folder: Path, count: int) -> Ground:
    """Keys, a repository of `count` nodes with its commit, and their answers."""
    for name in ("host", "controller", "peer"):
        make_key(folder / name)
    script = folder / "forced"
    script.write_text(_FORCED.format(folder=folder))
    script.chmod(0o755)
    (folder / "authorized_keys").write_text(
        f'restrict,command="{script}" {public(folder / "controller")}\n'
        f"{public(folder / 'peer')}\n"
    )
    host_key = public(folder / "host")
    repo = folder / "repo"
    for made in ("repo", "fresh", "applied", "verbs"):
        (folder / made).mkdir()
    places = {f"web-{n}": f"127.1.{n // 250}.{n % 250 + 1}" for n in range(count)}
    (repo / "tailnet.yaml").write_text(
        _TAILNET
        + "".join(
            f"  {name}: {{tags: [tag:web], publicKey: {wg_key(name)}, "
            f'endpoints: ["{at}:51820"], ssh: {{host: {at}, port: {PORT}, user: root, '
            f'hostKey: "{host_key}"}}}}\n'
            for name, at in places.items()
        )
    )
    git = [
        "git",
        "-C",
        str(repo),
        "-c",
        "user.name=b",
        "-c",
        "user.email=b@example.com",
    ]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "bench"]):
        subprocess.run([*git, *words], check=True)
    loaded = load(repo, "HEAD")
    assert loaded.tailnet is not None, loaded.findings
    bundles = compile_tailnet(loaded.tailnet)
    for name, at in places.items():
        record = (
            ("commit", str(loaded.commit)),
            ("height", "1"),
            ("kind", "apply"),
            ("by", "bench"),
            ("at", "2027-01-01T00:00:00Z"),
            ("envelope", "5" * 64),
            ("manifest", bundles[name].digest),
        )
        (folder / "fresh" / at).write_bytes(observation(public_keys=[wg_key(name)]))
        (folder / "applied" / at).write_bytes(
            observation(
                public_keys=[wg_key(name)],
                current="1",
                record=record,
                states=("up", *["ok"] * 6),
            )
        )
    was = (("envelope", "none"), ("live", "none"), ("pending", "none"))
    for verb in ("stage", "activate", "confirm"):
        answer = ok(verb, "acme", ("generation", "1"), *was)
        (folder / "verbs" / verb).write_bytes(answer)
    return Ground(
        folder,
        [Login(name, at, PORT, "root", host_key) for name, at in places.items()],
        loaded.tailnet,
        Commit(str(loaded.commit), "bench", 1),
        bundles,
    )


def wg_key(name: str) -> str:
    return b64encode(sha256(name.encode()).digest()).decode()


def serve(folder: Path) -> subprocess.Popen[bytes]:
    (folder / "sshd_config").write_text(_SSHD.format(folder=folder, port=PORT))
    # No login shell that reads files of its own: none of the three is to pay for it.
    people = Path("/etc/passwd").read_text().splitlines()
    root = f"root:x:0:0:root:{folder}:/bin/sh"
    others = [line for line in people if not line.startswith("root:")]
    (folder / "passwd").write_text("\n".join([root, *others, ""]))
    for words in (
        ["mount", "--bind", str(folder / "passwd"), "/etc/passwd"],
        ["ip", "link", "set", "lo", "up"],
        ["mount", "-t", "tmpfs", "none", "/run"],
        ["mkdir", "-p", "/run/sshd"],
    ):
        subprocess.run(words, check=True)
    sshd = [str(shutil.which("sshd")), "-D", "-f", str(folder / "sshd_config")]
    return subprocess.Popen(sshd)
