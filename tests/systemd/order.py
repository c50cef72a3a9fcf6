"""What the kernel says of a machine's interface and table, in the order it says it.

The interface may never be up while the table is not there. That is judged by the
kernel's own messages and not by looking again and again, which could miss it.
"""

from __future__ import annotations

from tests.node.parcel import INTERFACE
from tests.systemd.listener import Listener
from tests.systemd.machine import Machine

_WATCH = """
import json, os, select, subprocess, sys, time
watchers = [
    subprocess.Popen(['setpriv', '--pdeathsig', 'KILL', *words], stdout=subprocess.PIPE)
    for words in (['ip', '-o', 'monitor', 'link'], ['nft', 'monitor', 'tables'])
]
time.sleep(0.3)
print('ready', flush=True)
pipes = {watcher.stdout.fileno(): b'' for watcher in watchers}
heard = []
while True:
    readable = select.select([*pipes, sys.stdin], [], [])[0]
    if sys.stdin in readable:
        break
    for pipe in readable:
        data = os.read(pipe, 65536)
        if not data:
            sys.exit('a monitor ended')
        *lines, pipes[pipe] = (pipes[pipe] + data).split(b'\\n')
        heard += [line.decode() for line in lines]
for watcher in watchers:
    watcher.kill()
    watcher.wait()
print(json.dumps(heard))
"""

TABLE = "table inet tailgit_acme"


class Order:
    """Listens from now on, in the network that the machine has now."""

    def __init__(self, machine: Machine) -> None:
        self._listener = Listener(machine, _WATCH)

    def heard(self) -> list[str]:
        """`up`, `down`, `table`, `no table`, each time that one of them began."""
        words: list[str] = []
        last: dict[str, str] = {}
        for line in self._listener.stop():
            if word := _word(line):
                about = "table" if "table" in word else "link"
                if last.get(about) != word:
                    words.append(word)
                last[about] = word
        return words


def _word(line: str) -> str:
    if f" {INTERFACE}:" in line:
        gone = line.startswith("Deleted")
        return "up" if ",UP" in line and not gone else "down"
    if TABLE in line:
        return "no table" if line.startswith("delete") else "table"
    return ""


def always_filtered(words: list[str], *, running: bool = False) -> bool:
    """Whether the interface was up only while the table was there.

    `running`: whether both were there before the first word.
    """
    up = table = running
    for word in words:
        up = word == "up" if word in ("up", "down") else up
        table = word == "table" if "table" in word else table
        if up and not table:
            return False
    return True
