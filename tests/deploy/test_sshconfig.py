"""What of the operator's SSH configuration counts, and how it is read."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from tailgit.deploy.destination import Destination, me
from tailgit.deploy.sshconfig import Settings, SshConfig, read
from tailgit.errors import SourceError

DB = Destination(("203.0.113.10", "db-1", "db-1.acme.internal"), 22, "tailgit")


def config(folder: Path, text: str) -> SshConfig:
    file = folder / "config"
    file.write_text(text)
    return read(str(file))


def settings(folder: Path, text: str, to: Destination = DB) -> Settings:
    return config(folder, text).settings(to)


@pytest.mark.parametrize(
    ("pattern", "counts"),
    [
        ("203.0.113.10", True),
        ("203.0.113.*", True),
        ("203.0.113.?", False),
        ("db-1", True),
        ("DB-1", True),
        ("*.acme.internal", True),
        ("db-* !db-1", False),
        ("!db-2 db-*", True),
        ("web-1 db-1", True),
        ("db-[1]", False),
        ("*", True),
    ],
)
def test_a_host_pattern_is_matched_with_all_names_of_a_node(
    tmp_path: Path, pattern: str, counts: bool
) -> None:
    """ssh.host, the device's name and DEVICE.DOMAIN; `!` rules a block out."""
    found = settings(tmp_path, f"Host {pattern}\n  ProxyJump gate\n")
    assert found.word("proxyjump") == ("gate" if counts else "")


def test_the_first_value_counts_and_files_add_up(tmp_path: Path) -> None:
    """As in ssh: a later block fills in what no earlier one has said."""
    text = """
    IdentityFile ~/before
    Host db-1
        ConnectTimeout 3
        IdentityFile "/keys/with blank"
    Host *
        ConnectTimeout=9
        BindAddress = 192.0.2.1   # the office
        IdentityFile /keys/late
    """
    found = settings(tmp_path, text)
    assert found.number("connecttimeout") == 3
    assert found.word("bindaddress") == "192.0.2.1"
    home = Path("~").expanduser()
    keys = (home / "before", Path("/keys/with blank"), Path("/keys/late"))
    assert found.files("identityfile") == keys


def test_of_two_ways_through_the_first_counts(tmp_path: Path) -> None:
    """`ProxyCommand` and `ProxyJump` exclude each other, `none` settles it, too."""
    both = "ProxyJump {}\nProxyCommand nc %h %p\n"
    assert settings(tmp_path, both.format("gate")).command() == ""
    none = settings(tmp_path, both.format("none"))
    assert (none.word("proxyjump"), none.command()) == ("", "")
    other = settings(tmp_path, "ProxyCommand nc %h %p\nProxyJump gate\n")
    assert (other.word("proxyjump"), other.command()) == ("", "nc 203.0.113.10 22")


@pytest.mark.parametrize(
    ("criteria", "counts"),
    [
        ("all", True),
        ("host db-1", True),
        ("host web-1,db-*", True),
        ("host db-*,!db-1", False),
        ("!host db-1", False),
        ("originalhost 203.0.113.10 user tailgit", True),
        ("user root", False),
        ("final host db-1", True),
        ("canonical", False),
        (f"localuser {me()}", True),
        ("host db-1 exec true", True),
        ('host db-1 exec "test %h = 203.0.113.10 -a %r = tailgit"', True),
        ("host db-1 exec false", False),
        ("host db-1 !exec false", True),
    ],
)
def test_match_is_judged_as_ssh_does(
    tmp_path: Path, criteria: str, counts: bool
) -> None:
    """All criteria of the line have to hold."""
    found = settings(tmp_path, f"Match {criteria}\n  ProxyJump gate\n")
    assert found.word("proxyjump") == ("gate" if counts else "")


def test_a_command_of_match_is_run_once_and_only_if_it_decides(tmp_path: Path) -> None:
    """Two hundred nodes do not start two hundred processes."""
    log = tmp_path / "log"
    text = f'Match host db-1 exec "echo x >>{log}"\n  Port 9\nMatch exec "false"\n'
    read_once = config(tmp_path, text)
    assert read_once.runs_commands
    for _ in range(3):
        read_once.settings(DB)
    other = Destination(("192.0.2.7",), 22, "tailgit")
    assert "port" not in read_once.settings(other).lines
    assert log.read_text() == "x\n"


@pytest.mark.parametrize(
    "word", ["a;touch x", "$(touch x)", "a b", "-oX", "a\nb", "`x`"]
)
def test_no_word_of_the_repository_reaches_a_shell_as_code(
    tmp_path: Path, word: str
) -> None:
    """A host, user or name that a shell could mistake stops before the command."""
    text = "ProxyCommand nc %h %p\n"
    for to in (
        Destination((word,), 22, "u"),
        Destination(("h", word), 22, "u"),
        Destination(("h",), 22, word),
    ):
        with pytest.raises(SourceError, match=r"config:1: .* can't go into a command"):
            settings(tmp_path, text, to).command()
        with pytest.raises(SourceError, match="can't go into a command"):
            settings(tmp_path, "Match exec true\n  Port 9\n", to)


def test_tokens_and_variables_are_put_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """%h is the host, %n what was asked for, and the rest as in ssh_config(5)."""
    monkeypatch.setenv("KEYS", "/srv/keys")
    to = Destination(("gate",), 2222, "ana", host="198.51.100.1")
    found = settings(
        tmp_path, "IdentityFile ${KEYS}/%n-%r-%%\nProxyCommand nc %h %p %u %L\n", to
    )
    assert found.files("identityfile") == (Path("/srv/keys/gate-ana-%"),)
    here = socket.gethostname().partition(".")[0]
    assert found.command() == f"nc 198.51.100.1 2222 {me()} {here}"
    unset = settings(tmp_path, "IdentityFile ${NOT_THERE}/x\n", to)
    with pytest.raises(SourceError, match=r"`\${NOT_THERE}` is not set"):
        unset.files("identityfile")
    with pytest.raises(SourceError, match="does not know the token `%Z`"):
        settings(tmp_path, "ProxyCommand nc %Z\n", to).command()


def test_included_files_stand_where_the_include_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative to ~/.ssh, by pattern, and only under the conditions around them."""
    ssh = tmp_path / "home" / ".ssh"
    (ssh / "conf.d").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (ssh / "conf.d" / "a").write_text("ConnectTimeout 5\nHost *\n  Port 7\n")
    (ssh / "conf.d" / "b").write_text("ConnectTimeout 6\n")
    text = "Host db-*\n  Include conf.d/*\n  BindAddress 192.0.2.1\nInclude absent\n"
    inside = settings(tmp_path, text)
    assert (inside.number("connecttimeout"), inside.number("port")) == (5, 7)
    assert inside.word("bindaddress") == "192.0.2.1"
    outside = settings(tmp_path, text, Destination(("web-1",), 22, "tailgit"))
    assert not outside.lines
    (ssh / "conf.d" / "b").write_text("Include conf.d/b\n")
    with pytest.raises(SourceError, match="more than 16 files include each other"):
        config(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Port\n", "config:1: `Port` has no value"),
        ("\nConnectTimeout soon\n", "config:2: `soon` is not a number"),
        ("AddressFamily ip5\n", "`ip5` is not any, inet or inet6"),
        ("Match host\n", "`host` lacks what it shall match"),
        ("Match tagged x\n", "tailgit does not know `Match tagged`"),
    ],
)
def test_what_is_not_understood_is_said_with_its_line(
    tmp_path: Path, text: str, said: str
) -> None:
    """Before any node is asked: half a configuration could be the wrong way."""
    with pytest.raises(SourceError) as caught:
        config(tmp_path, text)
    assert said in caught.value.message


def test_what_ssh_reads_is_read_unless_a_file_or_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's file goes before the system's; `none` is neither."""
    ssh = tmp_path / ".ssh"
    ssh.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("tailgit.deploy.sshconfig.SYSTEM", tmp_path / "system")
    assert read(None) == SshConfig()
    (tmp_path / "system").write_text("ConnectTimeout 7\nBindAddress 192.0.2.1\n")
    (ssh / "config").write_text("ConnectTimeout 5\n")
    both = read(None).settings(DB)
    assert both.number("connecttimeout") == 5
    assert both.word("bindaddress") == "192.0.2.1"
    assert not read("none").settings(DB).lines
    with pytest.raises(SourceError, match="No such file"):
        read(str(tmp_path / "missing"))


def test_ssh_itself_reads_the_same(tmp_path: Path) -> None:
    """`ssh -G` is the outside judge of a file with blocks, negation and order."""
    text = """
    Host db-* !db-9
        ConnectTimeout 3
        ProxyJump ana@gate:2222
    Match host 203.0.113.10 user tailgit
        BindAddress 192.0.2.1
        ProxyCommand nc %h %p
    Match exec "test %h = 203.0.113.10"
        AddressFamily inet6
    Host=*
        ConnectTimeout 9
        AddressFamily inet
    """
    file = tmp_path / "config"
    file.write_text(text)
    for name in ("db-1", "db-9", "203.0.113.10"):
        found = read(str(file)).settings(Destination((name,), 22, "tailgit"))
        words = ["ssh", "-G", "-F", str(file), "-l", "tailgit", name]
        said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        theirs = dict(line.split(" ", 1) for line in said.splitlines() if " " in line)
        assert found.raw("connecttimeout") == theirs["connecttimeout"]
        assert found.word("addressfamily") == theirs["addressfamily"]
        assert found.word("proxyjump") == theirs.get("proxyjump", "")
        assert found.word("bindaddress") == theirs.get("bindaddress", "")
        command = found.lines.get("proxycommand")
        ours = command[0].words[0] if command else None
        assert ours == theirs.get("proxycommand")
