"""`tailgit device export`: one file with the private key, and no other copy of it."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest
import yaml

from tailgit.cli import run
from tailgit.errors import Exit

Capture = pytest.CaptureFixture[str]
PRIVATE = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
PUBLIC = "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw="


@pytest.fixture
def phone(acme: Path) -> Path:
    """The small tailnet with a phone of Ana's that has no key yet."""
    devices = acme / "devices.yaml"
    text = (
        f"{devices.read_text()}  phone: {{owner: ana@acme.com, delivery: wg-quick}}\n"
    )
    devices.write_text(text)
    return acme


def declared(repo: Path) -> str | None:
    devices = yaml.safe_load((repo / "devices.yaml").read_text())["devices"]
    key: str | None = devices["phone"].get("publicKey")
    return key


def test_a_new_key_is_in_one_file_alone(
    phone: Path, tmp_path: Path, capsys: Capture
) -> None:
    """The file is for its owner, the repository gets the public half, nothing else."""
    out = tmp_path / "tg-acme.conf"
    words = ["device", "export", "phone", "--new-key", "--out", str(out)]
    assert run([*words, "--repo", str(phone)]) == Exit.DONE
    said = capsys.readouterr()
    assert out.stat().st_mode & 0o777 == 0o600
    text = out.read_text()
    (line,) = (each for each in text.splitlines() if each.startswith("PrivateKey"))
    private = line.removeprefix("PrivateKey = ")
    public = subprocess.run(
        ["wg", "pubkey"], input=private, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert declared(phone) == public
    assert private not in said.out + said.err
    assert not any(
        private in file.read_text() for file in phone.rglob("*") if file.is_file()
    )
    assert "Endpoint = 203.0.113.10:51820" in text
    assert "FwMark" not in text
    assert "PostUp" not in text
    stripped = subprocess.run(
        ["wg-quick", "strip", str(out)], capture_output=True, text=True, check=True
    ).stdout
    assert f"PrivateKey = {private}\n" in stripped
    assert "AllowedIPs" in stripped
    assert run([*words, "--repo", str(phone)]) == Exit.REFUSED
    assert "phone has a publicKey already" in capsys.readouterr().err


def test_a_key_of_its_own_is_taken_from_standard_input(
    phone: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """It must be the declared one's; what is no key is not shown again."""
    words = ["device", "export", "phone", "--repo", str(phone)]
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PRIVATE}\n"))
    assert run(words) == Exit.REFUSED
    assert f"write it there first: {PUBLIC}" in capsys.readouterr().err
    devices = phone / "devices.yaml"
    text = devices.read_text()
    devices.write_text(text.replace("phone: {", f"phone: {{publicKey: {PUBLIC}, "))
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PRIVATE}\n"))
    assert run(words) == Exit.DONE
    assert f"PrivateKey = {PRIVATE}\n" in capsys.readouterr().out
    for given, code, says in (
        (PUBLIC, Exit.REFUSED, "not the one of phone's publicKey"),
        ("hunter2", Exit.USAGE, "no WireGuard private key"),
        ("", Exit.USAGE, "no WireGuard private key"),
    ):
        monkeypatch.setattr("sys.stdin", io.StringIO(given))
        assert run(words) == code
        said = capsys.readouterr()
        assert says in said.err
        assert "hunter2" not in said.err
        assert said.out == ""


def test_other_devices_keep_their_keys_to_themselves(
    phone: Path, capsys: Capture
) -> None:
    """Who makes its key itself is not given another."""
    words = ["device", "export", "db-1", "--new-key", "--repo", str(phone)]
    assert run(words) == Exit.REFUSED
    assert "`delivery: ssh`, and makes its key itself" in capsys.readouterr().err
