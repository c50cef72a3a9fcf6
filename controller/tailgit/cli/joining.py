"""`tailgit device join`: a device that nobody logs in to, set up by its owner.

It goes in two steps, because the device makes its keys itself: a file that the owner
runs there, and the two public keys that it prints, which go into the repository.
"""

from __future__ import annotations

import re
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailgit.cli.tailnet import Repo, device_of, valid_tailnet
from tailgit.errors import Refused, SourceError, UsageError
from tailgit.model.tailnet import Delivery
from tailgit.model.text import shown

if TYPE_CHECKING:
    from tailgit.model.tailnet import Device, Tailnet

_MARK = "END_OF_TAILGIT_PART"
_PRINCIPAL = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+")
_KEY = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")


def join(
    name: Annotated[
        str, typer.Argument(metavar="DEVICE", help="Its name in the repository.")
    ],
    repo: Repo = Path(),
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the file there; else print it."),
    ] = None,
    signer_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.pub",
            help="The key that will sign; else git's user.signingkey where gpg.format "
            "is ssh, else ~/.ssh/id_ed25519.",
        ),
    ] = None,
    public_key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="The WireGuard key that the file printed."),
    ] = None,
    pull_key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="The SSH key that the file printed."),
    ] = None,
) -> None:
    """Let a device in that nobody can log in to: a laptop that fetches what is new.

    First it writes one shell file, with all that is needed inside. The device's owner
    runs it there as root (`sudo sh FILE`). The machine makes its keys, which never
    leave it, and prints two public ones. With these, as --public-key and --pull-key,
    the same command writes them and `delivery: pull` into the device's YAML, comments
    kept. After the next apply the device gets its configuration from a mailbox within
    minutes, and from then on by itself, also when it has slept for weeks.

    \b
    Examples:
      tailgit device join ana-laptop --out ana-laptop.sh
      tailgit device join ana-laptop --public-key xTIBA5rboUvnH4htodjb6e697QjLER…
          --pull-key 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKf0…'
    """
    if (public_key is None) != (pull_key is None):
        raise UsageError(
            "--public-key and --pull-key go together: the file prints both"
        )
    tailnet = valid_tailnet(repo)
    device = device_of(tailnet, name)
    if public_key is not None and pull_key is not None:
        if out is not None:
            raise UsageError("--out is for the first step, without the keys")
        _let_in(repo, tailnet, device, public_key, pull_key)
        return
    text = _file(tailnet, device, *_signer(signer_key, repo))
    if out is None:
        sys.stdout.write(text)
        return
    keep(out, text.encode())
    print(f"Written to {out}. Give it to whoever has {device.name}, to run there:")
    print(f"  sudo sh {out.name}")
    print("It prints what to put in here next, and nothing secret.")


def principal(repo: Path) -> str:
    """Under which name the nodes know who signs: git's mail address, if it is one."""
    from tailgit.load.git import Repo as Repository

    try:
        mail = Repository(repo).identity().rpartition("<")[2].removesuffix(">")
    except SourceError:
        mail = ""
    return mail if _PRINCIPAL.fullmatch(mail) else "controller"


def keep(file: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file whole or not at all; nobody reads it meanwhile."""
    import os
    import tempfile

    folder = file.absolute().parent
    number, name = tempfile.mkstemp(dir=folder, prefix=f".{file.name}.")
    try:
        with os.fdopen(number, "wb") as temporary:
            temporary.write(content)
            temporary.flush()
            os.fsync(temporary.fileno())
        Path(name).chmod(mode)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _signer(chosen: Path | None, repo: Path) -> tuple[str, str]:
    from tailgit.deploy.sign import public_half, signing_key

    return principal(repo), public_half(signing_key(chosen, repo, Path.home()))


def _file(tailnet: Tailnet, device: Device, name: str, signer: str) -> str:
    """The file for the device's owner."""
    from tailgit import __version__
    from tailgit.access.selectors import active_devices
    from tailgit.compile.mailbox import door_lines
    from tailgit.deploy.hostkey import fingerprint
    from tailgit.resources import directory, template

    mailboxes = door_lines(tailnet, active_devices(tailnet).values()).decode()
    if not mailboxes:
        raise Refused(
            f"{device.name} would have nothing to pull from: no mailbox is enrolled",
            "write `mailbox: true` at a server and enroll it: tailgit device enroll",
        )
    script = (directory("node") / "tailgit-node").read_text(encoding="utf-8")
    return template("join/join.sh.j2").render(
        device=device.name,
        tailnet=tailnet.name,
        mailboxes=mailboxes.splitlines(),
        signer=fingerprint(signer),
        lines=[
            f"signer {name} {signer}",
            *(f"mailbox {each}" for each in mailboxes.splitlines()),
        ],
        script=script,
        digest=sha256(script.encode()).hexdigest(),
        mark=_MARK,
        version=__version__,
    )


def _let_in(
    repo: Path, tailnet: Tailnet, device: Device, public_key: str, pull_key: str
) -> None:
    """Write what the device's owner sent, and say what comes next."""
    from tailgit.edit.device import set_device
    from tailgit.load.hostkeys import is_ssh_key

    if not _KEY.fullmatch(public_key):
        raise UsageError(f"`{shown(public_key)}` is not a WireGuard public key")
    if not is_ssh_key(pull_key) or not pull_key.startswith(("ssh-", "ecdsa-")):
        raise UsageError(
            f"`{shown(pull_key)}` is not an SSH public key",
            "it has a blank inside: put it in quotes",
        )
    fields = _missing(device, public_key, pull_key)
    if not fields:
        print(f"The repository says all of that of {device.name} already.")
        return
    for other in tailnet.devices.values():
        if other.name != device.name and other.public_key == public_key:
            raise Refused(f"{other.name} has that key: is it the same machine?")
    written = set_device(repo, device.name, fields)
    here = Path.cwd()
    near = written.relative_to(here) if written.is_relative_to(here) else written
    print(f"{device.name} pulls from now on. Written to {near}.")
    print("Next:  commit it, then tailgit plan")


def _missing(
    device: Device, public_key: str, pull_key: str
) -> dict[tuple[str, ...], str]:
    """The fields that have to be written."""
    fields: dict[tuple[str, ...], str] = {}
    if device.public_key not in (None, public_key):
        raise Refused(
            f"{device.name} is declared with another publicKey",
            "if the machine was made anew, take publicKey out of its file first",
        )
    if device.public_key is None:
        fields["publicKey",] = public_key
    if device.pull_key != pull_key:
        fields["pullKey",] = pull_key
    if device.delivery is not Delivery.PULL:
        origin = device.origin
        if origin is not None and origin.at("delivery") != origin.at():
            raise Refused(
                f"{device.name} has `delivery: {device.delivery}` in its file",
                "write `delivery: pull` there, or take it out",
            )
        fields["delivery",] = Delivery.PULL.value
    return fields
