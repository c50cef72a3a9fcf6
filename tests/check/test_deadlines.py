"""What is said about deadlines, to the second."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tailgit.cli import run
from tailgit.errors import Exit
from tests.check.devices import found
from tests.load.files import HEAD, write

CODES = ("expired", "expires-soon")
LAPTOP = "  pc: {owner: ana@acme.com, expires: 2026-12-24}\n"
TWO_WEEKS = 14 * 86400
END = int(datetime(2026, 12, 25, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("now", "codes"),
    [
        (END - TWO_WEEKS - 1, []),
        (END - TWO_WEEKS, ["expires-soon"]),
        (END - 1, ["expires-soon"]),
        (END, ["expired"]),
        (END + 10 * 365 * 86400, ["expired"]),
        (None, []),
    ],
)
def test_a_day_ends_with_its_last_second(
    tmp_path: Path, now: int | None, codes: list[str]
) -> None:
    """It is said two weeks before and afterwards; without a clock nothing is."""
    said = found(tmp_path, LAPTOP, *CODES, now=now)
    assert [each.code for each in said] == codes
    for each in said:
        assert "the end of 2026-12-24 (UTC)" in each.message
        assert (each.place.line, each.is_error) == (3, False)


def test_a_time_is_said_in_utc(tmp_path: Path) -> None:
    """What is finer than a day is named to the second, whatever its offset was."""
    laptop = LAPTOP.replace("2026-12-24", '"2026-12-24T18:00:00+01:00"')
    (said,) = found(tmp_path, laptop, *CODES, now=END)
    assert said.message == "the device `pc` expired at 2026-12-24T17:00:00Z"


def test_one_line_is_one_finding(tmp_path: Path) -> None:
    """A deadline in the defaults of a file ends many devices, and is said once."""
    rest = "grants: []\ndeviceDefaults: {expires: 2026-12-24}\n"
    many = "".join(f"  d{i}: {{owner: ana@acme.com}}\n" for i in range(6))
    (said,) = found(tmp_path, many, *CODES, rest=rest, now=END - 1)
    assert said.message.startswith("6 devices (`d0`, `d1`, `d2`, …) expire at the end")
    assert said.place.line == 2


def test_a_user_is_said_with_their_devices(tmp_path: Path) -> None:
    """Devices end with their owner, also those that name no deadline."""
    rest = "grants: []\nusers: {kim@acme.com: {expires: 2026-12-24}}\n"
    devices = "  one: {owner: kim@acme.com}\n  two: {owner: kim@acme.com}\n"
    (said,) = found(tmp_path, devices, *CODES, rest=rest, now=END)
    assert said.message.startswith("the user `kim@acme.com` expired")
    assert said.message.endswith(", with 2 devices")
    off = devices.replace("com}", "com, disabled: true}")
    (said,) = found(tmp_path, off, *CODES, rest=rest, now=END)
    assert said.message.endswith("(UTC)")


def test_what_is_off_has_nothing_left_to_end(tmp_path: Path) -> None:
    """Disabled devices, users and rules are passed over, and what such users own."""
    rest = (
        "users:\n"
        "  ana@acme.com: {disabled: true, expires: 2026-12-24}\n"
        "  ben@acme.com: {}\n"
        "grants:\n"
        "  - {src: [ben@acme.com], dst: [b], ip: ['*'], disabled: true, "
        "expires: 2026-12-24}\n"
    )
    devices = (
        "  a: {owner: ana@acme.com, expires: 2026-12-24}\n"
        "  b: {owner: ben@acme.com, expires: 2026-12-24, disabled: true}\n"
        "  c: {owner: ben@acme.com}\n"
    )
    assert found(tmp_path, devices, *CODES, rest=rest, now=END) == []


def test_an_acl_of_several_rules_expires_once(tmp_path: Path) -> None:
    """One entry is one finding, named as its author named it."""
    rest = (
        "acls:\n  - {action: accept, src: ['*'], dst: ['pc:22', 'pad:80'], "
        "name: visit, expires: 2026-12-24}\n"
    )
    devices = "  pc: {owner: ana@acme.com}\n  pad: {owner: ana@acme.com}\n"
    (said,) = found(tmp_path, devices, *CODES, rest=rest, now=END)
    assert said.message.startswith("the rule `visit` expired")
    rest = rest.replace("name: visit, ", "")
    (said,) = found(tmp_path, devices, *CODES, rest=rest, now=END)
    assert said.message.startswith("this rule expired")


def test_check_judges_at_the_time_that_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As typed: `--at` decides, and a deadline that is over is no error."""
    files = {"tailnet.yaml": HEAD, "a.yaml": f"grants: []\ndevices:\n{LAPTOP}"}
    folder = str(write(tmp_path, files))
    assert run(["check", folder, "--no-local", "--at", "2026-12-31"]) == Exit.DONE
    assert "warning[expired]: the device `pc`" in capsys.readouterr().out
    assert run(["check", folder, "--no-local", "--at", "2026-12-20"]) == Exit.DONE
    assert "warning[expires-soon]: the device `pc`" in capsys.readouterr().out
    assert run(["check", folder, "--no-local", "--at", "2026-11-20"]) == Exit.DONE
    assert "expire" not in capsys.readouterr().out.replace("`expires`", "")
