"""A mailbox and a laptop, two nodes on one wire: the mailbox has a real sshd.

The laptop has no sshd and no login user; what it knows of the mailbox is what `join`
was told and what its own bundle says.
"""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.node.nodes import NAME, SCRIPT, STATE, Answer, Node, parse, wait
from tests.node.parcel import FILES, Parcel, Signer

BOX = f"{STATE}/mailbox"
LAPTOP = "ana-laptop"
AUTHORIZED = "/var/lib/tailgit/.ssh/authorized_keys"


def parcel(
    public: str,
    signer: Signer,
    second: int,
    *,
    node: str = LAPTOP,
    tailnet: str = NAME,
    height: int = 7,
    **files: str,
) -> Parcel:
    """A parcel of this `second` of a minute; `files` are added to the bundle."""
    made = Parcel([public], signer, files={**FILES, **files}, height=height)
    envelope = (
        f"tailgit-envelope 1\ntailnet {tailnet}\nnode {node}\n"
        f"commit {made.commit}\nheight {height}\nkind apply\n"
        f"by ana@acme.com\nat 2026-11-22T13:00:{second:02}Z\n"
    )
    made.overrides["envelope"] = envelope.encode()
    return made


def connect(one: Node, other: Node, number: int) -> tuple[str, str]:
    """A wire between two nodes; the addresses of its ends."""
    names = f"w{number}a", f"w{number}b"
    words = ["ip", "link", "add", names[0], "netns", str(one.pid)]
    words += ["type", "veth", "peer", "name", names[1], "netns", str(other.pid)]
    subprocess.run(words, check=True)
    addresses = f"192.0.2.{4 * number + 1}", f"192.0.2.{4 * number + 2}"
    for node, name, address in zip((one, other), names, addresses, strict=True):
        node.sh(f"ip address add {address}/30 dev {name}; ip link set {name} up")
    return addresses


def serve_ssh(node: Node) -> str:
    """A real sshd on port 2222, as a host has it; its host key."""
    node.sh(
        "mkdir -p /run/sshd; ssh-keygen -q -t ed25519 -N '' -f /run/host_key;"
        "/usr/sbin/sshd -f /dev/null -p 2222 -h /run/host_key -o PidFile=none"
        " -o StrictModes=yes -o PasswordAuthentication=no -o UsePAM=yes"
    )
    return " ".join(node.read("/run/host_key.pub").split()[:2])


@dataclass
class Post:
    """One laptop, the mailboxes that it knows, and who signs."""

    laptop: Node
    signer: Signer
    boxes: list[Node] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    pull_key: str = ""

    def add_mailbox(self, node: Node) -> None:
        """Enrol a bare machine, with sshd, and let the laptop reach it."""
        lines = f"controller {self.signer.public}\nsigner ana@acme.com "
        done = node.run(
            *("sh", "/run/new/tailgit-node", "enroll", NAME),
            stdin=f"{lines}{self.signer.public}\n".encode(),
        )
        node.public = parse(done.stdout)["publicKey"]
        host_key = serve_ssh(node)
        address, _ = connect(node, self.laptop, len(self.boxes))
        self.boxes.append(node)
        self.lines.append(f"{address} 2222 {host_key}")

    def join(self) -> Answer:
        """What the laptop's owner runs."""
        lines = [f"signer ana@acme.com {self.signer.public}"]
        lines += [f"mailbox {line}" for line in self.lines]
        done = self.laptop.run(
            *("sh", "/run/new/tailgit-node", "join", NAME),
            stdin="".join(f"{line}\n" for line in lines).encode(),
            check=False,
        )
        answer = parse(done.stdout, done.returncode)
        if answer["result"] == "ok":
            self.laptop.public = answer["publicKey"]
            self.pull_key = answer["pullKey"]
        return answer

    def open_boxes(self, names: tuple[str, ...] = (LAPTOP,), second: int = 1) -> None:
        """Every mailbox gets a generation that names the laptop's key."""
        for box in self.boxes:
            text = "".join(f"{name} {self.pull_key}\n" for name in names)
            own = parcel(box.public, self.signer, second, node="box", mailbox=text)
            box.apply(own)

    def own(self, second: int, **more: object) -> Parcel:
        """A parcel for the laptop."""
        files = {"mailboxes": "".join(f"{line}\n" for line in sorted(self.lines))}
        return parcel(
            self.laptop.public,
            more.pop("signer", self.signer),  # type: ignore[arg-type]
            second,
            **{**files, **more},  # type: ignore[arg-type]
        )

    def deposit(self, what: Parcel | bytes, box: int = 0, node: str = LAPTOP) -> Answer:
        data = what if isinstance(what, bytes) else what.build()
        return self.boxes[box].request("deposit", NAME, node, stdin=data)

    def pull(self) -> subprocess.CompletedProcess[bytes]:
        """One turn, by hand."""
        return self.laptop.run(
            "/usr/local/lib/tailgit/tailgit-node", "pull", NAME, check=False
        )

    def ssh(
        self, command: str, *options: str, box: int = 0, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """Log in to a mailbox with the pull key, as a thief of it would."""
        host = self.lines[box].split()[0]
        words = ["ssh", "-p", "2222", "-o", "StrictHostKeyChecking=no"]
        words += ["-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"]
        words += ["-o", "LogLevel=ERROR", "-i", f"/etc/tailgit/{NAME}/pull.key"]
        return self.laptop.run(
            *words, *options, f"tailgit@{host}", command, stdin=stdin, check=False
        )

    def seen(self, box: int = 0) -> list[str]:
        """What the laptop last told a mailbox: time, envelope, result."""
        return self.boxes[box].read(f"{BOX}/{LAPTOP}.seen").split()

    def log(self) -> list[list[str]]:
        """The laptop's audit log about its turns: outcome and details."""
        lines = self.laptop.read(f"{STATE}/audit.log").splitlines()
        words = [line.split("\t") for line in lines]
        return [each[3:] for each in words if each[1] == "pull"]


def make_post(shell: str, folder: Path, signer: Signer, boxes: int, stack: ExitStack):
    """A joined laptop and its mailboxes, which name it; nothing is deposited."""

    def bare(name: str) -> Node:
        (folder / name).mkdir()
        node = Node(shell, folder / name, signer, enrolled=False)
        stack.callback(node.close)
        node.write("/run/new/tailgit-node", SCRIPT.read_text())
        return node

    post = Post(bare("laptop"), signer)
    # The turns of a test are its own.
    post.laptop.write("/usr/local/sbin/setsid", NO_PULLER, 0o755)
    for number in range(boxes):
        post.add_mailbox(bare(f"box{number}"))
    assert post.join()["result"] == "ok"
    post.open_boxes()
    wait(lambda: b"TAILGIT" in post.ssh(f"fetch {NAME} none none none").stdout, 20)
    return post


NO_PULLER = """#!/bin/sh
case $2 in puller) exit ;; esac
exec /usr/bin/setsid "$@"
"""
