"""tailgit device: the machines of a tailnet, one at a time."""

from __future__ import annotations

import asyncio
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailgit.cli import inventory, rotating, upgrading
from tailgit.cli.fleet import agreed
from tailgit.cli.handing import export
from tailgit.cli.joining import join, principal
from tailgit.cli.tailnet import Repo, device_of, valid_tailnet
from tailgit.errors import Refused, SourceError, UsageError
from tailgit.model.tailnet import Ssh

if TYPE_CHECKING:
    from tailgit.deploy.enroll import Keys
    from tailgit.deploy.ssh import Login
    from tailgit.model.tailnet import Device, Tailnet

_ABOUT = "Add, enroll, join, rotate, rename and remove machines."

app = typer.Typer(help=_ABOUT, rich_markup_mode=None)
app.command()(inventory.add)

_LOGIN = re.compile(
    r"(?P<user>[A-Za-z0-9_.-]+)@(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s\[\]:@]+))"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


@app.callback(help=_ABOUT)
def device() -> None:
    """The group of commands itself does nothing."""


@app.command()
def enroll(
    name: Annotated[
        str, typer.Argument(metavar="DEVICE", help="Its name in the repository.")
    ],
    repo: Repo = Path(),
    login: Annotated[
        str | None,
        typer.Option(
            metavar="USER@HOST[:PORT]",
            help="The administrator's login: root, or a user with passwordless sudo. "
            "Else root at the device's ssh.host.",
        ),
    ] = None,
    identity: Annotated[
        Path | None,
        typer.Option(help="The SSH key for that login; else as ssh would choose."),
    ] = None,
    host_key: Annotated[
        str | None,
        typer.Option(
            metavar="SHA256:…",
            help="The fingerprint that the machine's host key must have; else it is "
            "shown and asked about.",
        ),
    ] = None,
    controller_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.pub",
            help="The key that plan and apply will log in with; else "
            "~/.ssh/id_ed25519.pub, or without that the one beside --identity.",
        ),
    ] = None,
    signer_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.pub",
            help="The key that will sign; else git's user.signingkey where gpg.format "
            "is ssh, else ~/.ssh/id_ed25519.",
        ),
    ] = None,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", help="Don't ask before installing. Never accepts a host key."
        ),
    ] = False,
) -> None:
    """Make a machine a node of the tailnet, and write its keys into the repository.

    Installs tailgit-node over SSH as an administrator, has the machine make its own
    WireGuard key (which never leaves it), logs in once more as the controller will,
    and writes publicKey and ssh.hostKey into the device's YAML, comments kept. It can
    be run again: only what differs is changed. That is also how another controller's
    or signer's key takes the place of the one that the machine knows.

    Example: tailgit device enroll db-1 --login root@203.0.113.10
    """
    if host_key is not None and not _FINGERPRINT.fullmatch(host_key):
        raise UsageError(f"`{host_key}` is not a fingerprint like SHA256:…")
    tailnet = valid_tailnet(repo)
    found = device_of(tailnet, name)
    public = _controller_key(controller_key, identity)
    keys = _keys(public, signer_key, repo)
    admin = _admin(found, login, host_key)
    _agree(admin, yes, known=bool(host_key or (found.ssh and found.ssh.host_key)))
    key = _install(tailnet, found, admin, identity, keys)
    # Where plan and apply will look for it, which may be another way than admin's.
    ssh = found.ssh or Ssh(admin.host, admin.port)
    node = replace(admin, host=ssh.host, port=ssh.port, user=ssh.user)
    proof = _prove(tailnet.name, node, public, key)
    written = _write(repo, found, node, key)
    _report(node, key, public, proof, written)


app.command()(join)
app.command()(rotating.rotate)
app.command()(export)
app.command()(inventory.rename)
app.command()(inventory.remove)
app.command()(upgrading.upgrade)


def _controller_key(chosen: Path | None, identity: Path | None) -> Path:
    """The .pub file of the key that will log in as `tailgit`."""
    home = _home_key()
    # An administrator's key is not the controller's only because it was used once.
    usual = [home, *([_public_beside(identity)] if identity else [])]
    for file in [_public_beside(chosen)] if chosen else usual:
        if file.is_file():
            return file
    raise SourceError(
        f"no public key {chosen or home}", "name one with --controller-key FILE.pub"
    )


def _home_key() -> Path:
    return Path.home() / ".ssh" / "id_ed25519.pub"


def _public_beside(file: Path) -> Path:
    return file if file.suffix == ".pub" else file.with_name(f"{file.name}.pub")


def _keys(controller: Path, signer: Path | None, repo: Path) -> Keys:
    """The public keys that the node shall know."""
    from tailgit.deploy.enroll import Keys
    from tailgit.deploy.sign import public_half, signing_key

    return Keys(
        controller=public_half(str(controller)),
        signer=public_half(signing_key(signer, repo, Path.home())),
        principal=principal(repo),
    )


def _admin(device: Device, login: str | None, wanted: str | None) -> Login:
    """Where and as whom to install, with the host key that will be insisted on.

    The repository's if there is one, else the one of fingerprint `wanted`, else the
    one that the machine shows, for a person to judge.
    """
    from tailgit.deploy.enroll import find_host_key
    from tailgit.deploy.hostkey import fingerprint
    from tailgit.deploy.ssh import Login
    from tailgit.errors import HostKeyMismatch

    ssh = device.ssh
    if login is not None:
        match = _LOGIN.fullmatch(login)
        if match is None or int(match["port"] or 22) not in range(1, 65536):
            raise UsageError(f"--login `{login}` is not USER@HOST or USER@HOST:PORT")
        host, user = match["v6"] or match["host"], match["user"]
        port = int(match["port"] or 22)
    elif ssh is not None:
        host, port, user = ssh.host, ssh.port, "root"
    else:
        raise UsageError(
            f"where is {device.name}? It has neither endpoints nor ssh.host",
            "give --login USER@HOST",
        )
    key = ssh.host_key if ssh else None
    if key is None:
        key = asyncio.run(find_host_key(device.name, host, port, wanted))
    elif wanted and fingerprint(key).split()[1] != wanted:
        raise HostKeyMismatch(
            device.name,
            f"the repository's ssh.hostKey is {fingerprint(key)}, not {wanted}",
            "take ssh.hostKey out of the file if the machine was made anew",
        )
    return Login(device.name, host, port, user, key)


def _agree(admin: Login, yes: bool, *, known: bool) -> None:
    """Show whom we are about to trust, and ask; somewhere else than on a terminal
    only a host key that is known beforehand will do."""
    from tailgit.deploy.hostkey import fingerprint

    terminal = sys.stdin.isatty()
    print(f"{admin.node}: {admin.where}", file=sys.stderr)
    print(f"  host key  {fingerprint(admin.host_key)}", file=sys.stderr)
    if not known and not terminal:
        raise UsageError(
            "nobody is here to compare the host key",
            "give --host-key SHA256:… as `ssh-keygen -lf` shows it on the machine",
        )
    if not known:
        question = f"Is that its key, and shall {admin.user} install tailgit there?"
        agreed(question)
    elif terminal and not yes:
        agreed(f"Install tailgit there as {admin.user}?")


def _install(
    tailnet: Tailnet, device: Device, admin: Login, identity: Path | None, keys: Keys
) -> str:
    """Install the script; returns the WireGuard key that the device has now."""
    from tailgit.deploy import enroll as enrolment
    from tailgit.deploy.identity import identity as identity_of
    from tailgit.deploy.ssh import AsyncSsh
    from tailgit.resources import directory

    script = (directory("node") / "tailgit-node").read_bytes()
    executor = AsyncSsh(identity_of(identity))
    print("  installing tailgit-node", file=sys.stderr, flush=True)
    owned = asyncio.run(enrolment.install(executor, admin, tailnet.name, script, keys))
    key = enrolment.own_key(device, owned)
    for other in tailnet.devices.values():
        if other.public_key == key and other.name != device.name:
            raise Refused(
                f"{other.name} has this machine's key already: is it the same machine?"
            )
    return key


def _prove(tailnet: str, node: Login, public: Path, key: str) -> bool:
    """Log in as the controller will; False where its private key is not here."""
    from tailgit.deploy.enroll import prove
    from tailgit.deploy.identity import at_hand
    from tailgit.deploy.identity import identity as identity_of
    from tailgit.deploy.ssh import AsyncSsh

    controller = identity_of(_private_or(public))
    if not asyncio.run(at_hand(controller)):
        return False
    asyncio.run(prove(AsyncSsh(controller), tailnet, node, key))
    return True


def _private_or(public: Path) -> Path:
    """The private half beside a .pub file, else that itself: the agent may know it."""
    private = public.with_suffix("")
    return private if private.is_file() else public


def _write(repo: Path, device: Device, node: Login, key: str) -> Path | None:
    """Write what the repository does not say yet; the file, None if it says it all."""
    from tailgit.edit.device import set_device

    fields = _missing(device, node, key)
    if not fields:
        return None
    return set_device(repo, device.name, fields)


def _missing(device: Device, node: Login, key: str) -> Mapping[tuple[str, ...], str]:
    """The fields of the device that have to be written."""
    fields: dict[tuple[str, ...], str] = {}
    if device.public_key != key:
        fields["publicKey",] = key
    if device.ssh is None:
        fields["ssh", "host"] = node.host
        if node.port != Ssh(node.host).port:
            fields["ssh", "port"] = str(node.port)
    if device.ssh is None or device.ssh.host_key != node.host_key:
        fields["ssh", "hostKey"] = node.host_key
    return fields


def _report(
    node: Login, key: str, public: Path, proof: bool, written: Path | None
) -> None:
    """What the node has and knows now, and what to do next."""
    from tailgit.deploy.hostkey import fingerprint
    from tailgit.deploy.sign import public_half

    print(f"{node.node} is enrolled")
    print(f"  publicKey    {key}")
    print(f"  ssh.hostKey  {fingerprint(node.host_key)}")
    print(f"  controller   {fingerprint(public_half(str(public)))}")
    if proof:
        print(f"  login        {node.user}@{node.host} port {node.port} answers")
    else:
        print("  login        not tried: the controller's private key is not here")
    if written is None:
        print("The repository says so already.")
        print(f"Next:  {_plan_command(public)}")
    else:
        here = Path.cwd()
        near = written.is_relative_to(here)
        print(f"Written to {written.relative_to(here) if near else written}.")
        print(f"Next:  commit it, then {_plan_command(public)}")


def _plan_command(public: Path) -> str:
    """`tailgit plan`, with the key that it would not find by itself."""
    if public.absolute() == _home_key().absolute():
        return "tailgit plan"
    return shlex.join(["tailgit", "plan", "--identity", str(_private_or(public))])
