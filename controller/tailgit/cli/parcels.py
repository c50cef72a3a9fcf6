"""`tailgit export parcel`: what a device gets, signed, to be carried there by hand.

For a machine that no network leads to, and for one whose network is what has to be
mended. The parcel is the one that apply would send.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tailgit.cli.carrying import SigningKey, who
from tailgit.cli.joining import keep
from tailgit.cli.tailnet import Commit, Repo, device_of, valid
from tailgit.errors import Refused, UsageError


def parcel(
    name: Annotated[
        str, typer.Argument(metavar="DEVICE", help="Its name in the repository.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write it there; else to standard output."),
    ] = None,
    repo: Repo = Path(),
    commit: Commit = None,
    signing_key: SigningKey = None,
) -> None:
    """Write the signed parcel of one device, to carry it there by hand.

    Of a commit (HEAD if none is named), like apply. On the device, as root:

      /usr/local/lib/tailgit/tailgit-node load TAILNET < FILE

    It is verified there as any other, activated, and kept only if somebody says yes
    within two minutes; else what ran before runs again. A parcel holds no secret and
    fits no other device. One that is older than what the device has is refused.

    \b
    Examples:
      tailgit export parcel db-1 --out /media/stick/db-1.parcel
      tailgit export parcel db-1 --commit v1.2 > db-1.parcel
    """
    if out is None and sys.stdout.isatty():
        raise UsageError("a parcel is no text for a terminal", "give --out FILE")
    tailnet, data = signed_parcel(repo, commit, name, signing_key)
    if out is None:
        sys.stdout.buffer.write(data)
        return
    keep(out, data)
    print(f"Written to {out}. On {name}, as root:")
    print(f"  /usr/local/lib/tailgit/tailgit-node load {tailnet} < {out.name}")


def signed_parcel(
    repo: Path, commit: str | None, name: str, signing_key: Path | None
) -> tuple[str, bytes]:
    """The tailnet's name, and the parcel of the device `name`, signed here and now."""
    from datetime import UTC, datetime

    from tailgit.compile.compiler import Compiler
    from tailgit.deploy import parcel as parcels
    from tailgit.deploy.sign import sign
    from tailgit.deploy.sign import signing_key as key_of
    from tailgit.load.git import Repo as Repository

    loaded = valid(repo, commit or "HEAD", for_nodes=True)
    if loaded.tailnet is None or loaded.commit is None:
        raise Refused("there is no tailnet in this commit")
    tailnet = loaded.tailnet
    device = device_of(tailnet, name)
    if device.public_key is None:
        raise Refused(
            f"{name} awaits its key, so nothing can be compiled for it",
            "tailgit device enroll, or tailgit device join, makes one",
        )
    bundle = Compiler(tailnet).bundle(name)
    envelope = parcels.Envelope(
        tailnet.name,
        name,
        loaded.commit,
        Repository(repo).height(loaded.commit),
        who(repo),
        datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    ).text()
    ordered = parcels.order({name: (envelope, bundle.manifest)})
    signature = sign(
        ordered.statement, tailnet.name, key_of(signing_key, repo, Path.home())
    )
    try:
        return tailnet.name, parcels.parcel(
            envelope=envelope,
            statement=ordered.statement,
            signature=signature,
            path=ordered.paths[name],
            bundle=bundle.tar(),
        )
    except ValueError as error:
        raise Refused(f"{name}: {error}") from None
