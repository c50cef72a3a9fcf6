"""The ways to break an apply: what happens at a boundary, and how it is put right.

`strike` is called once, at its place. Mending is what the person on call would do
(free the disk, take the rule away, set the clock); it never touches what is tailgit's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tailgit.lab import CONTROLLER
from tests.chaos.world import NAME, PLACES, RUN, SELF, STATE, Place, World


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Struck:
    """What the controller does next (a word that driver.py knows), what puts the fault
    right, and whether it met anything."""

    told: str = "go"
    mend: Callable[[], None] = _nothing
    hit: bool = True


Strike = Callable[[World, Place], Struck]


Where = Callable[[Place], bool]


def _everywhere(_: Place) -> bool:
    return True


def _nowhere(_: Place) -> bool:
    return False


@dataclass(frozen=True)
class Fault:
    """One kind. `exits` are the statuses that are right for it; where it `fails`, only
    5 is. `suits` says where it can be tried, `must` where somebody has to be there to
    be killed.

    `writable` is false where a node can't write down that it went back, `alone` where
    another controller is at work, `local` where it strikes no node.
    """

    name: str
    strike: Strike
    exits: frozenset[int]
    fails: Where = _nowhere
    suits: Where = _everywhere
    must: Where = _everywhere
    writable: bool = True
    alone: bool = True
    local: bool = True

    def right(self, place: Place) -> frozenset[int]:
        return frozenset({5}) if self.fails(place) else self.exits


def _told(word: str) -> Strike:
    return lambda _world, _at: Struck(word)


def kill(world: World, node: str, pattern: str, patience: float = 0.0) -> bool:
    """kill -9 what runs on a node under such a command line; whether there was any.

    `patience` is how many seconds to wait for somebody to kill.
    """
    script = f"""
        for _ in $(seq {int(patience * 50) + 1}); do
            ! pkill -9 -f '{pattern}' || exit 0
            sleep 0.02
        done
        echo nobody
    """
    return "nobody" not in world.sh(node, script)


REQUEST = "^/bin/sh .*tailgit-node request "
TIMER = "^/bin/sh .*tailgit-node timer "
GUARD = "^/bin/sh .*tailgit-node guard "
LOGIN = "^sshd[a-z-]*: tailgit"


def _killing(pattern: str) -> Strike:
    def strike(world: World, at: Place) -> Struck:
        patience = 1.0 if pattern == REQUEST and at.moment == "during" else 0.0
        return Struck(hit=kill(world, at.node, pattern, patience))

    return strike


def _at_work(place: Place) -> bool:
    """Whether the node has a request at work."""
    return place.moment == "during"


def _waiting(place: Place) -> bool:
    """Whether the node waits for a confirmation, surely."""
    return place[1:] in (("activate", "after"), ("confirm", "before"))


def _sending(place: Place) -> bool:
    return place[1:] == ("stage", "before")


def _unconfirmed(place: Place) -> bool:
    """Whether something is still to be asked over a connection that is not open yet."""
    return place.verb != "confirm"


def _undecided(place: Place) -> bool:
    return _unconfirmed(place) or place.moment == "before"


def _unstaged(place: Place) -> bool:
    return place.verb == "observe" or _sending(place)


def _reboot(world: World, at: Place) -> Struck:
    world.reboot(at.node)
    return Struck()


def _shell(spoil: str, mend: str = "true") -> Strike:
    def strike(world: World, at: Place) -> Struck:
        world.sh(at.node, spoil)
        return Struck(mend=lambda: _run(world, at.node, mend))

    return strike


def _run(world: World, node: str, script: str) -> None:
    world.sh(node, script)


def _second_controller(world: World, at: Place) -> Struck:
    """Another apply of the same commit begins and ends while ours stands still."""
    words = ["apply", "--yes", "--confirm-timeout", "15", "--repo", str(world.repo)]
    argv = [world.lab.python, "-m", "tailgit", *words]
    done = world.lab.run(CONTROLLER, argv, timeout=120)
    said = done.stderr.decode()
    assert "Traceback" not in said, said
    # From the first `stage` to the last `confirm` a node is held by us.
    holds = at[1:] == ("stage", "after") or at.verb == "activate" or _waiting(at)
    right = {6} if holds else {0, 4, 5, 6}
    assert done.returncode in right, f"{done.returncode}: {said}"
    return Struck()


def _replay(world: World, at: Place) -> Struck:
    """The parcel of an older generation comes again, through the controller's key."""
    said = world.login(at.node, f"stage {NAME} none", world.older_parcel(at.node))
    assert "error\tolder" in said or "error\tlocked" in said, said
    return Struck()


def _hostile(answer: str) -> Strike:
    """The node answers every request with something else, as root would make it; what
    it does for itself (timer, guard) stays as it is."""
    spoil = f"""
        cp -p {SELF} /run/tailgit-node
        cat >/run/hostile <<'END'
#!/bin/sh
[ "$1" = serve ] || exec /run/tailgit-node "$@"
{answer}
END
        chmod 755 /run/hostile
        mount --bind /run/hostile {SELF}
    """
    return _shell(spoil, f"umount {SELF}")


_ANOTHER_GENERATION = r"""
set -- $SSH_ORIGINAL_COMMAND
frame() {
    printf 'TAILGIT 1\nverb\t%s\ntailnet\t%s\n' "$1" "$2"
    printf 'result\tok\ngeneration\t999\n'
}
frame "$@"
printf 'end\t%s\n' "$(frame "$@" | sha256sum | cut -d' ' -f1)"
"""

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

_BY_HAND = f"""
    for key in $(wg show tg-{NAME} peers); do wg set tg-{NAME} peer $key remove; done
    ip -4 route flush dev tg-{NAME}
"""

_DAMAGE = f"""
    number=$(cut -d' ' -f1 {STATE}/current)
    cp -p {STATE}/generations/$number/envelope /run/envelope
    echo rubbish >{STATE}/generations/$number/envelope
    echo $number >/run/which
"""
_REPAIR = f"""
    folder={STATE}/generations/$(cat /run/which)
    [ ! -d $folder ] || cp -p /run/envelope $folder/envelope
"""

_SLOW_DATE = """
    printf '%s\\n' '#!/bin/sh' \
        'case $* in' \
        '*+%s*) echo $(($(/usr/bin/date +%s) OFFSET)) ;;' \
        '*) exec /usr/bin/date -d "OFFSET seconds" "$@" ;;' \
        'esac' >/usr/local/bin/date
    chmod 755 /usr/local/bin/date
"""

FINE = frozenset({0})
SOME = frozenset({0, 5})
"""Finished all the same, or incomplete and saying so."""
REFUSED = frozenset({0, 4, 5})
"""The same, or refused because of what the first look showed."""

FAULTS = (
    Fault("controller-killed", _told("die"), frozenset({-9}), local=False),
    Fault("connection-cut", _told("cut"), SOME),
    # Only a parcel is long enough to be half sent, or to be changed on its way.
    Fault("half-upload", _told("half"), SOME, suits=_sending),
    Fault("parcel-tampered", _told("spoil"), SOME, fails=_sending, suits=_sending),
    Fault("script-killed", _killing(REQUEST), SOME, must=_at_work),
    Fault("timer-killed", _killing(TIMER), FINE, must=_waiting),
    Fault("guard-killed", _killing(GUARD), FINE),
    Fault("rebooted", _reboot, SOME, fails=_waiting),
    Fault(
        "disk-full",
        _shell(
            f"dd if=/dev/zero of={STATE}/fill bs=4k 2>/dev/null; true",
            f"rm -f {STATE}/fill",
        ),
        SOME,
        fails=_unstaged,
    ),
    Fault(
        "read-only-var",
        _shell(f"mount -o remount,ro {STATE}", f"mount -o remount,rw {STATE}"),
        SOME,
        fails=_undecided,
        writable=False,
    ),
    Fault(
        "locked-out",
        _shell(_LOCK_OUT, "nft delete table inet lockout"),
        SOME,
        fails=_undecided,
    ),
    Fault("ruleset-flushed", _shell("nft flush ruleset"), SOME),
    # What is changed once it is confirmed is the next apply's to find.
    Fault("changed-by-hand", _shell(_BY_HAND), SOME, fails=_waiting, suits=_undecided),
    Fault(
        "clock-a-day-ahead",
        _shell(_SLOW_DATE.replace("OFFSET", "+86400"), "rm -f /usr/local/bin/date"),
        FINE,
    ),
    Fault(
        "clock-a-day-behind",
        _shell(_SLOW_DATE.replace("OFFSET", "-86400"), "rm -f /usr/local/bin/date"),
        FINE,
    ),
    Fault(
        "two-controllers",
        _second_controller,
        frozenset({0, 5, 6}),
        alone=False,
        local=False,
    ),
    Fault("record-damaged", _shell(_DAMAGE, _REPAIR), REFUSED),
    # Nobody repairs it, so the next apply goes by what the refusal says.
    Fault("record-damaged-for-good", _shell(_DAMAGE), REFUSED),
    Fault(
        "current-damaged-for-good", _shell(f"echo rubbish >{STATE}/current"), REFUSED
    ),
    Fault("other-host-key", _shell(_OTHER_KEY, _OWN_KEY), SOME, fails=_unconfirmed),
    Fault("answers-endless", _hostile("exec cat /dev/zero"), SOME, fails=_undecided),
    Fault(
        "answers-rubbish",
        _hostile("echo TAILGIT 1; echo hello"),
        SOME,
        fails=_undecided,
    ),
    Fault(
        "answers-another-generation",
        _hostile(_ANOTHER_GENERATION),
        SOME,
        fails=_undecided,
    ),
    Fault("replayed", _replay, FINE, local=False),
    Fault("run-lost", _shell(f"rm -rf {RUN}"), SOME),
)
"""Every kind that is tried; at every place unless it says why not."""

CASES = tuple((fault, at) for fault in FAULTS for at in PLACES if fault.suits(at))
