"""The ways to break an apply: what happens at a boundary, and how it is put right.

`strike` is called once, at the boundary, with its node; it says what the controller
does there (`go`, `die`, `cut`, `half`) and what undoes the fault. Undoing is what the
person on call would do (free the disk, take the rule away); it never touches tailgit's
own state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tailgit.lab import CONTROLLER
from tests.chaos.world import NAME, RUN, SELF, STATE, Boundary, World

Undo = Callable[[], None]
Strike = Callable[[World, Boundary], tuple[str, Undo]]

_KILL = """
    for each in /proc/[0-9]*; do
        [ "$each" != "/proc/$$" ] || continue
        case $(tr '\\0' ' ' <"$each/cmdline" 2>/dev/null) in
        {pattern}) kill -9 "${{each#/proc/}}" 2>/dev/null ;;
        esac
    done
    true
"""


@dataclass(frozen=True)
class Fault:
    """One kind. `exits` are the statuses that are right for it, `after` those of the
    next apply once the fault is undone; `at` are the moments it is tried at."""

    name: str
    strike: Strike
    exits: frozenset[int]
    moments: frozenset[str] = frozenset({"before", "during", "after"})
    verbs: frozenset[str] = frozenset({"observe", "stage", "activate", "confirm"})


def _nothing() -> None:
    return None


def _told(word: str) -> Strike:
    return lambda _world, _at: (word, _nothing)


def killing(pattern: str) -> Callable[[World, str], None]:
    """Kills -9 what runs on a node under a command line that the pattern matches."""
    return lambda world, node: _run(world, node, _KILL.format(pattern=pattern))


def _killing(pattern: str) -> Strike:
    def strike(world: World, at: Boundary) -> tuple[str, Undo]:
        killing(pattern)(world, at.node)
        return "go", _nothing

    return strike


def _reboot(world: World, at: Boundary) -> tuple[str, Undo]:
    world.reboot(at.node)
    return "go", _nothing


def _shell(spoil: str, mend: str = "true") -> Strike:
    def strike(world: World, at: Boundary) -> tuple[str, Undo]:
        world.sh(at.node, spoil)
        return "go", lambda: _run(world, at.node, mend)

    return strike


def _run(world: World, node: str, script: str) -> None:
    world.sh(node, script)


def _second_controller(world: World, _: Boundary) -> tuple[str, Undo]:
    """Another apply of the same commit begins and ends while ours stands still."""
    words = ["apply", "--yes", "--confirm-timeout", "15", "--repo", str(world.repo)]
    argv = [world.lab.python, "-m", "tailgit", *words]
    done = world.lab.run(CONTROLLER, argv, timeout=120)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    assert done.returncode in (0, 4, 5, 6), done.stderr.decode()
    return "go", _nothing


def _replay(world: World, at: Boundary) -> tuple[str, Undo]:
    """The parcel of an older generation comes again, through the controller's key."""
    said = world.login(at.node, f"stage {NAME} none", world.older_parcel(at.node))
    assert "error\tolder" in said or "error\tlocked" in said, said
    return "go", _nothing


def _hostile(answer: str) -> Strike:
    """The node answers everything with something else."""
    spoil = f"""
        cp {SELF} /run/script
        printf '%s\\n' '#!/bin/sh' {answer!r} >/run/hostile
        chmod 755 /run/hostile
        mount --bind /run/hostile {SELF}
    """
    return _shell(spoil, f"umount {SELF}")


_OTHER_KEY = """
    mkdir -p /run/keep
    [ -f /run/keep/key ] || cp -p /etc/ssh/ssh_host_ed25519_key* /run/keep/
    rm -f /etc/ssh/ssh_host_ed25519_key*
    ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
    pkill -HUP -o -x sshd
    sleep 0.3
"""
_OWN_KEY = """
    cp -p /run/keep/ssh_host_ed25519_key* /etc/ssh/
    pkill -HUP -o -x sshd
    sleep 0.3
"""

_LOCK_OUT = """
    nft add table inet lockout
    nft add chain inet lockout in '{ type filter hook input priority -300; }'
    nft add rule inet lockout in tcp dport 22 drop
"""

_SLOW_DATE = """
    printf '%s\\n' '#!/bin/sh' \
        'case $* in' \
        '*+%s*) echo $(($(/usr/bin/date +%s) OFFSET)) ;;' \
        '*) exec /usr/bin/date -d "OFFSET seconds" "$@" ;;' \
        'esac' >/usr/local/bin/date
    chmod 755 /usr/local/bin/date
"""

ALL = frozenset({0, 5})
"""Finished over new connections, or incomplete and saying so."""

FAULTS = (
    Fault("controller-killed", _told("die"), frozenset({-9})),
    Fault("connection-cut", _told("cut"), ALL),
    Fault(
        "half-upload",
        _told("half"),
        ALL,
        frozenset({"before"}),
        frozenset({"stage"}),
    ),
    Fault("script-killed", _killing("'/bin/sh '*'tailgit-node request '*"), ALL),
    Fault("timer-killed", _killing("'/bin/sh '*'tailgit-node timer '*"), ALL),
    Fault("guard-killed", _killing("'/bin/sh '*'tailgit-node guard '*"), ALL),
    Fault("rebooted", _reboot, ALL),
    Fault(
        "disk-full",
        _shell(
            f"dd if=/dev/zero of={STATE}/fill bs=4k 2>/dev/null; true",
            f"rm -f {STATE}/fill",
        ),
        ALL,
    ),
    Fault(
        "read-only-var",
        _shell(f"mount -o remount,ro {STATE}", f"mount -o remount,rw {STATE}"),
        ALL,
    ),
    Fault("locked-out", _shell(_LOCK_OUT, "nft delete table inet lockout"), ALL),
    Fault("ruleset-flushed", _shell("nft flush ruleset"), ALL),
    Fault(
        "clock-a-day-ahead",
        _shell(_SLOW_DATE.replace("OFFSET", "+86400"), "rm -f /usr/local/bin/date"),
        ALL,
    ),
    Fault(
        "clock-a-day-behind",
        _shell(_SLOW_DATE.replace("OFFSET", "-86400"), "rm -f /usr/local/bin/date"),
        ALL,
    ),
    Fault("two-controllers", _second_controller, frozenset({0, 4, 5, 6})),
    Fault(
        "record-damaged",
        _shell(
            f"n=$(cut -d' ' -f1 {STATE}/current)\n"
            f"cp -p {STATE}/generations/$n/envelope /run/envelope\n"
            f"echo rubbish >{STATE}/generations/$n/envelope\necho $n >/run/which",
            f"[ ! -d {STATE}/generations/$(cat /run/which) ] || "
            f"cp -p /run/envelope {STATE}/generations/$(cat /run/which)/envelope",
        ),
        frozenset({0, 4, 5}),
    ),
    Fault("other-host-key", _shell(_OTHER_KEY, _OWN_KEY), ALL),
    Fault("answers-endless", _hostile("exec cat /dev/zero"), frozenset({0, 4, 5})),
    Fault(
        "answers-rubbish", _hostile("echo TAILGIT 1; echo hello"), frozenset({0, 4, 5})
    ),
    Fault(
        "answers-another-generation",
        _hostile(
            'set -- $SSH_ORIGINAL_COMMAND; f=$(printf "TAILGIT 1\\nverb\\t$1\\n'
            'tailnet\\t$2\\nresult\\tok\\ngeneration\\t999\\n."); f=${f%.};'
            '  printf "%s" "$f"; '
            'printf "end\\t%s\\n" "$(printf "%s" "$f" | sha256sum | cut -d" " -f1)"'
        ),
        frozenset({0, 4, 5}),
    ),
    Fault("replayed", _replay, ALL),
    Fault("run-lost", _shell(f"rm -rf {RUN}"), ALL),
)
