"""Every error word of the protocol, and what a refusal leaves behind: nothing."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.node.nodes import NAME, SELF, STATE, Node, wait
from tests.node.parcel import FILES, MEMBERS, ROUTER, Parcel, Signer, sha256, tar

pytestmark = pytest.mark.live


def hostile_tar(*infos: tarfile.TarInfo) -> bytes:
    """A tar of headers alone (links, devices, odd names)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as out:
        for info in infos:
            out.addfile(info, io.BytesIO(b"\0" * info.size))
    return buffer.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def rebuilt(
    parcel: Parcel, change: Callable[[list[tuple[str, bytes]]], object]
) -> bytes:
    members = parcel.members()
    change(members)
    return tar(members)


def with_bundle(parcel: Parcel, bundle: bytes) -> bytes:
    parcel.overrides["bundle.tar"] = bundle
    return parcel.build()


def full_bundle(parcel: Parcel) -> list[tuple[str, bytes]]:
    files = [(n, parcel.files[n].encode()) for n in sorted(parcel.files)]
    return [*files, ("manifest", parcel.manifest())]


def linked_bundle(parcel: Parcel, kind: bytes) -> bytes:
    """A bundle whose hosts file is a link to a file of the node."""
    start = tar([("firewall.nft", parcel.files["firewall.nft"].encode())])
    first = 512 + -(-len(parcel.files["firewall.nft"]) // 512) * 512
    linked = hostile_tar(link("hosts", "/etc/shadow", kind))[:512]
    rest = tar(full_bundle(parcel)[2:])
    return with_bundle(parcel, start[:first] + linked + rest)


def sparse_member() -> bytes:
    """A GNU sparse header that claims eight gigabytes for no data."""
    info = tarfile.TarInfo("envelope")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[156:157] = b"S"
    header[483:495] = b"00100000000\0"[:12]
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header) + b"\0" * 1024


PARCELS: dict[str, tuple[str, Callable[[Parcel], bytes]]] = {
    "nothing at all": ("bad-parcel", lambda _: b""),
    "rubbish": ("bad-parcel", lambda _: b"rubbish" * 1000),
    "an empty tar": ("bad-parcel", lambda _: tar([])),
    "a compressed parcel": ("bad-parcel", lambda p: gzip.compress(p.build())),
    "members in another order": (
        "bad-parcel",
        lambda p: rebuilt(p, lambda m: m.insert(0, m.pop())),
    ),
    "a member too few": ("bad-parcel", lambda p: rebuilt(p, lambda m: m.pop(3))),
    "a member too many": (
        "bad-parcel",
        lambda p: rebuilt(p, lambda m: m.append(("extra", b"x"))),
    ),
    "a member twice": ("bad-parcel", lambda p: rebuilt(p, lambda m: m.append(m[-1]))),
    "an absolute path": (
        "bad-parcel",
        lambda p: rebuilt(p, lambda m: m.append(("/etc/cron.d/x", b"x"))),
    ),
    "a path upwards": (
        "bad-parcel",
        lambda p: rebuilt(p, lambda m: m.insert(0, ("../../../etc/passwd", b"x"))),
    ),
    "a name of two lines": (
        "bad-parcel",
        lambda p: rebuilt(p, lambda m: m.append(("envelope\nstatement", b"x"))),
    ),
    "only symlinks": (
        "bad-parcel",
        lambda _: hostile_tar(*(link(m, "/etc/shadow") for m in MEMBERS)),
    ),
    "only hard links": (
        "bad-parcel",
        lambda _: hostile_tar(
            *(link(m, "/etc/shadow", tarfile.LNKTYPE) for m in MEMBERS)
        ),
    ),
    "a member of eight gigabytes of nothing": ("bad-parcel", lambda _: sparse_member()),
    "a parcel above the limit": (
        "bad-parcel",
        lambda p: p.build() + b"\0" * (64 << 20),
    ),
    "a statement of another form": (
        "bad-parcel",
        lambda p: rebuilt(p, lambda m: m.__setitem__(1, ("statement", b"root 0\n"))),
    ),
    "no signature": (
        "bad-signature",
        lambda p: rebuilt(p, lambda m: m.__setitem__(2, ("statement.sig", b""))),
    ),
    "a signature of other text": (
        "bad-signature",
        lambda p: rebuilt(
            p, lambda m: m.__setitem__(2, (m[2][0], p.signer.sign(b"x", p.namespace)))
        ),
    ),
    "a path too long for the root": (
        "bad-path",
        lambda p: rebuilt(
            p, lambda m: m.__setitem__(3, ("path", b"L " + b"0" * 64 + b"\n"))
        ),
    ),
    "a path that is no path": (
        "bad-path",
        lambda p: rebuilt(p, lambda m: m.__setitem__(3, ("path", b"X y\n"))),
    ),
    "a path of a thousand steps": (
        "bad-path",
        lambda p: rebuilt(
            p, lambda m: m.__setitem__(3, ("path", (b"L " + b"0" * 64 + b"\n") * 1000))
        ),
    ),
    "another envelope": (
        "bad-path",
        lambda p: rebuilt(
            p,
            lambda m: m.__setitem__(
                0, ("envelope", p.envelope().replace(b"height 7", b"height 8"))
            ),
        ),
    ),
    "a bundle without manifest": (
        "bad-parcel",
        lambda p: with_bundle(p, tar(full_bundle(p)[:-1])),
    ),
    "a bundle that is no tar": ("bad-parcel", lambda p: with_bundle(p, b"x" * 999)),
    "a file that is not the manifest's": (
        "bad-hash",
        lambda p: with_bundle(
            p, tar([(n, d + b"\n" * (n == "hosts")) for n, d in full_bundle(p)])
        ),
    ),
    "a file missing": ("bad-hash", lambda p: with_bundle(p, tar(full_bundle(p)[1:]))),
    "a file twice": (
        "bad-hash",
        lambda p: with_bundle(p, tar([full_bundle(p)[0], *full_bundle(p)])),
    ),
    "a file that nobody listed": (
        "bad-hash",
        lambda p: with_bundle(p, tar([*full_bundle(p), ("more", b"x")])),
    ),
    "a bundle with a symlink": (
        "bad-hash",
        lambda p: linked_bundle(p, tarfile.SYMTYPE),
    ),
    "a bundle with a hard link": (
        "bad-hash",
        lambda p: linked_bundle(p, tarfile.LNKTYPE),
    ),
}


@pytest.mark.parametrize("case", PARCELS)
def test_a_parcel_that_is_not_one_is_refused(refusing: Node, case: str) -> None:
    """The word says why, and no file of the parcel reaches the node."""
    word, build = PARCELS[case]
    answer = refusing.stage(build(refusing.parcel()))
    assert (answer["verb"], answer["tailnet"], answer.error) == ("stage", NAME, word)
    assert answer["message"]
    assert answer.status == 1
    assert refusing.generations() == []
    assert list(refusing.path(f"{STATE}/incoming").iterdir()) == []


ENVELOPES = {
    "no first line": ("tailgit-envelope 1\n", ""),
    "another format": ("tailgit-envelope 1", "tailgit-envelope 2"),
    "a commit that is none": ("commit 3f", "commit zz"),
    "a negative height": ("height 7", "height -7"),
    "a kind that is none": ("kind apply", "kind force"),
    "a line too many": ("at 2026", "also x\nat 2026"),
    "a control character": ("by Zoë", "by \x1b[31mZoë"),
    "a name without end": ("by Zoë", "by " + "A" * 300),
    "a time that is none": ("13:00:00Z", "13:00:00Z; id"),
}


@pytest.mark.parametrize("case", ENVELOPES)
def test_a_signed_envelope_of_another_form_is_refused(
    refusing: Node, case: str
) -> None:
    """A right signature does not make a wrong envelope right."""
    parcel = refusing.parcel()
    old, new = ENVELOPES[case]
    assert old in parcel.envelope().decode()
    envelope = parcel.envelope().decode().replace(old, new)
    parcel.overrides["envelope"] = envelope.encode()
    assert refusing.stage(parcel).error == "bad-parcel"
    assert refusing.generations() == []


MANIFESTS = {
    "another format": ("bad-parcel", "tailgit-manifest 1", "tailgit-manifest 2"),
    "no key": ("bad-parcel", "publicKey ", "publickey "),
    "a short key": ("bad-parcel", "publicKey ", "publicKey AA"),
    "a path for a file": ("bad-parcel", "  hosts", "  ../hosts"),
    "an order of its own": ("bad-parcel", "  hosts", "  aosts"),
    "a wrong count": ("bad-parcel", "files 6", "files 7"),
    "a domain that is none": ("bad-parcel", "domain acme", "domain $(id)"),
    "another tailnet": ("wrong-tailnet", "tailnet acme", "tailnet evil"),
    "another interface": ("wrong-tailnet", "interface tg-acme", "interface tg-evil"),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_signed_manifest_of_another_form_is_refused(
    refusing: Node, case: str
) -> None:
    """Neither its names nor its counts can lead the script elsewhere."""
    parcel = refusing.parcel()
    word, old, new = MANIFESTS[case]
    assert old in parcel.manifest().decode()
    manifest = parcel.manifest().decode().replace(old, new)
    parcel.overrides["manifest"] = manifest.encode()
    assert refusing.stage(parcel).error == word
    assert refusing.generations() == []


def test_a_strangers_signature_is_refused(refusing: Node, tmp_path: Path) -> None:
    """A key that is not in allowed_signers signs nothing here."""
    stranger = refusing.parcel()
    stranger.signer = Signer.make(tmp_path, "stranger")
    assert refusing.stage(stranger).error == "bad-signature"


@pytest.mark.parametrize("namespace", ["file", "git", "tailgit@other", "tailgit"])
def test_a_signature_made_for_something_else_is_refused(
    refusing: Node, namespace: str
) -> None:
    """The signer's key also signs commits; those signatures are worth nothing here."""
    assert refusing.stage(refusing.parcel(namespace=namespace)).error == "bad-signature"


def test_a_parcel_for_another_tailnet_is_refused(refusing: Node) -> None:
    """Signed by the right key for the right namespace, but made for another tailnet."""
    parcel = refusing.parcel(tailnet="other", interface="tg-other")
    assert refusing.stage(parcel).error == "wrong-tailnet"


def test_a_parcel_for_another_key_is_refused(refusing: Node) -> None:
    """A bundle is bound to a node by its WireGuard key."""
    parcel = refusing.parcel()
    parcel.public_keys = ["A" * 43 + "="]
    assert refusing.stage(parcel).error == "wrong-key"


@pytest.mark.parametrize("case", ["unknown file", "no filter", "no peers"])
def test_a_bundle_of_other_files_is_refused(refusing: Node, case: str) -> None:
    """A file that the script does not know is not skipped; none may be left out."""
    files = dict(FILES)
    if case == "unknown file":
        files["relay.nft"] = "table inet relay {}\n"
    else:
        del files["firewall.nft" if case == "no filter" else "wireguard.conf"]
    assert refusing.stage(refusing.parcel(files=files)).error == "bad-grammar"


def test_what_nft_refuses_is_not_staged(refusing: Node) -> None:
    """Text of the right form that nft can't load is found before anything changes."""
    files = dict(FILES)
    files["firewall.nft"] = files["firewall.nft"].replace("@src1", "@nonsense")
    answer = refusing.stage(refusing.parcel(files=files))
    assert answer.error == "check-failed"
    assert "nonsense" in answer["message"]


def test_generations_that_are_not_there(refusing: Node) -> None:
    """activate and confirm of a number that was never staged say so."""
    assert refusing.activate(99).error == "no-generation"
    assert refusing.confirm(99).error == "no-generation"


def test_a_tailnet_that_is_not_enrolled(refusing: Node) -> None:
    """Another tailnet's name is refused and makes no folder."""
    assert refusing.request("observe", "other").error == "not-enrolled"
    assert refusing.request("stage", "other", "none").error == "not-enrolled"
    assert not refusing.path("/var/lib/tailgit/other").exists()


def test_a_tree_of_several_nodes_leads_to_the_root(node: Node) -> None:
    """Siblings on both sides, in the order of the path, are hashed as the page says."""
    siblings = [("L", sha256(b"1")), ("R", sha256(b"2")), ("R", sha256(b"3"))]
    assert node.stage(node.parcel(siblings=siblings))["generation"] == "1"
    swapped = node.parcel(siblings=siblings)
    swapped.overrides["path"] = "".join(
        f"{'R' if side == 'L' else 'L'} {digest}\n" for side, digest in siblings
    ).encode()
    assert node.stage(swapped).error == "bad-path"


def test_an_older_commit_is_refused_unless_it_is_a_rollback(node: Node) -> None:
    """The height counts against what is confirmed; the signer may say rollback."""
    node.apply(node.parcel(height=7))
    assert node.stage(node.parcel(height=6)).error == "older"
    assert node.stage(node.parcel(height=6, kind="rollback"))["generation"] == "2"
    assert node.stage(node.parcel(height=7, by="Kim"))["generation"] == "3"
    assert node.stage(node.parcel(height=8))["generation"] == "4"


def test_an_old_generation_that_is_still_here_is_refused_too(node: Node) -> None:
    """A login key alone takes no revocation back: `activate` asks for the height."""
    node.apply(node.parcel(height=7))
    node.apply(node.parcel(height=8))
    table = node.table()
    assert node.activate(1).error == "older"
    assert node.table() == table
    assert not node.path(f"{STATE}/pending").exists()
    assert node.confirm(1).error == "older"
    node.write(f"{STATE}/pending", "1\n")
    assert node.confirm(1).error == "older"
    assert node.current() == "2"
    assert node.activate(2)["result"] == "ok"
    number = node.stage(node.parcel(height=7, kind="rollback"))["generation"]
    assert node.activate(number)["result"] == "ok"
    assert node.confirm(number)["result"] == "ok"


def test_only_what_was_activated_can_be_confirmed(node: Node) -> None:
    """A staged, an overtaken and a given-up generation are not-pending."""
    node.stage(node.parcel(height=1))
    assert node.confirm(1).error == "not-pending"
    node.stage(node.parcel(height=2))
    node.activate(1)
    node.activate(2)
    assert node.confirm(1).error == "not-pending"
    assert node.confirm(2)["result"] == "ok"
    assert node.current() == "2"


def test_a_first_activation_that_fails_leaves_nothing(node: Node) -> None:
    """Interface, table and names are gone, and the tool's message is in the answer."""
    hosts = node.read("/etc/hosts")
    files = dict(FILES, interface=ROUTER.replace("100.64.7.9/32", "300.64.7.9/32"))
    assert node.stage(node.parcel(files=files))["result"] == "ok"
    answer = node.activate(1)
    assert answer.error == "activation-failed"
    assert "300.64.7.9" in answer["message"]
    assert "tg-acme" not in node.links()
    assert node.table() == ""
    assert node.read("/etc/hosts") == hosts
    seen = node.observe()
    assert (seen["rolledback"], seen["pending"], seen["live"]) == ("1", "none", "none")
    assert node.confirm(1).error == "not-pending"


def test_a_failed_activation_brings_back_what_ran(node: Node) -> None:
    """All of the old generation runs again and it stays confirmed."""
    node.apply(node.parcel())
    files = dict(FILES, interface=ROUTER.replace("100.64.7.9/32", "300.64.7.9/32"))
    files["hosts"] = ""
    files["wireguard.conf"] = files["wireguard.conf"].replace("51820\nFw", "51999\nFw")
    node.stage(node.parcel(files=files, height=8))
    assert node.activate(2).error == "activation-failed"
    seen = node.observe()
    for part in ("filter", "peers", "addresses", "routes", "names"):
        assert seen[part] == "ok", part
    assert (seen["current"], seen["live"], seen["rolledback"]) == ("1", "1", "2")
    assert seen["listenPort"] == "51820"


def test_a_damaged_generation_is_not_loaded(node: Node) -> None:
    """A file that changed on the disk is found before anything is loaded from it."""
    node.stage(node.parcel())
    path = node.path(f"{STATE}/generations/1/firewall.nft")
    path.write_text(path.read_text().replace("counter drop", "accept"))
    answer = node.activate(1)
    assert answer.error == "activation-failed"
    assert "firewall.nft" in answer["message"]
    assert node.table() == ""


def test_a_second_request_waits_and_then_is_told_busy(node: Node) -> None:
    """One request at a time: what can't get the lock in 20 seconds is `busy`."""
    node.stage(node.parcel())
    # A sleep that takes no time but is counted: the test need not last 20 seconds.
    node.write("/usr/local/sbin/sleep", "#!/bin/sh\necho $1 >>/run/slept\n", 0o755)
    holder = subprocess.Popen(node.enter("flock", STATE, "/usr/bin/sleep", "60"))
    try:
        wait(lambda: b"sleep 60" in node.run("ps", "-ef").stdout)
        for asking in (lambda: node.confirm(1), node.observe):
            assert asking().error == "busy"
            slept = node.read("/run/slept").split()
            assert sum(map(float, slept)) == pytest.approx(20)
            node.path("/run/slept").unlink()
    finally:
        node.sh("kill -9 $(ps -ef | awk '/[s]leep 60/ { print $2 }')")
        holder.wait()
    assert node.activate(1)["result"] == "ok"


def test_a_full_disk_is_said_and_survived(node: Node) -> None:
    """When nothing can be written, nothing is kept in halves and what runs goes on."""
    node.apply(node.parcel())
    node.sh(
        "cp -a /var/lib/tailgit /run/keep;"
        "mount -t tmpfs -o size=4m tmpfs /var/lib/tailgit;"
        "cp -a /run/keep/. /var/lib/tailgit/;"
        "cat /dev/zero >/var/lib/tailgit/fill || :"
    )
    assert node.stage(node.parcel(height=8)).error == "no-space"
    assert node.generations() == ["1"]
    assert node.observe()["current"] == "1"
    assert node.activate(1)["result"] == "ok"
    node.sh("rm /var/lib/tailgit/fill")
    assert node.apply(node.parcel(height=8)) == "2"


def full_pipe() -> tuple[int, int]:
    """Both ends of a pipe into which not one more byte goes."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    return reader, writer


@pytest.mark.parametrize("verb", ["observe", "activate", "stage"])
def test_who_does_not_read_his_answer_keeps_nobody_waiting(
    node: Node, verb: str
) -> None:
    """An answer is sent when the locks are free: a stalled reader blocks no change."""
    node.apply(node.parcel())
    parcel = node.parcel(height=8)
    # A generation that fails is answered with both locks held until the answer.
    path = node.path(f"{STATE}/generations/1/firewall.nft")
    good = path.read_text()
    if verb == "activate":
        path.write_text("nonsense\n")
    reader, writer = full_pipe()
    try:
        more = {"activate": ["1", "600", "none"], "stage": ["none"]}
        words = [verb, NAME, *more.get(verb, [])]
        stalled = subprocess.Popen(
            node.enter(SELF, "request", *words),
            stdin=subprocess.PIPE if verb == "stage" else subprocess.DEVNULL,
            stdout=writer,
        )
        if stalled.stdin is not None:
            stalled.stdin.write(b"rubbish")
            stalled.stdin.close()
        time.sleep(2)
        assert stalled.poll() is None
        path.write_text(good)
        started = time.monotonic()
        assert node.apply(parcel) == "2"
        assert time.monotonic() - started < 10
        assert stalled.poll() is None
    finally:
        os.close(writer)
        os.close(reader)
    stalled.wait(timeout=20)


@pytest.mark.parametrize("mounted", [False, True])
def test_a_full_disk_costs_no_line_of_the_hosts_file(node: Node, mounted: bool) -> None:
    """What can't be written whole is not written, also where no rename is possible."""
    owners = "".join(f"10.1.{n}.1 owner-{n}\n" for n in range(200))[:4090] + "\n"
    node.write("/etc/hosts", owners, 0o644)
    node.sh("cp -a /etc /run/etc; mount -t tmpfs -o size=64m tmpfs /etc")
    node.sh("cp -a /run/etc/. /etc/")
    if mounted:
        node.sh(
            "mkdir /run/small; mount -t tmpfs -o size=8k tmpfs /run/small;"
            "cp /etc/hosts /run/small/hosts; echo x >/run/small/fill;"
            "mount --bind /run/small/hosts /etc/hosts"
        )
    else:
        node.sh("cat /dev/zero >/etc/fill || :")
    files = dict(FILES)
    files["hosts"] = "".join(
        f"100.64.7.{n} host-{n}.acme.internal host-{n}\n" for n in range(100)
    )
    node.stage(node.parcel(files=files))
    answer = node.activate(1)
    assert node.read("/etc/hosts") == owners
    assert answer.error == "activation-failed"
    assert "/etc/hosts" in answer["message"]
