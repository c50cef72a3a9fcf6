"""What two tailnets of one repository do to each other."""

from __future__ import annotations

from tailgit.check.together import Checked, all_findings, together
from tailgit.model.findings import Place
from tests.check.reports import SITE, checked, tailnet


def one(
    root: str,
    name: str = "acme",
    ipv4: str = "100.64.0.0/10",
    ipv6: str = "fd5c::/48",
    ok: bool = True,
) -> Checked:
    about = tailnet(name, ipv4, ipv6, f"{root}/tailnet.yaml")
    return checked(root=root, about=about, ok=ok)


def said(*tailnets: Checked) -> list[tuple[str, str, str]]:
    return [
        (each.root, found.code, found.message)
        for each in together(tailnets)
        for found in each.findings
    ]


def test_names_of_one_repository_differ() -> None:
    """The second of two tailnets of one name is an error that names the first."""
    a = one("a", "acme", "10.0.0.0/16", "fd01::/48")
    b = one("b", "acme", "10.1.0.0/16", "fd02::/48")
    assert said(b, a) == [
        ("b", "tailnet-clash", "the tailnet in `a` is named `acme`, too")
    ]
    (found,) = together([a, b])[1].findings
    assert found.is_error
    assert found.place == Place("b/tailnet.yaml", 2, 3)
    assert found.see == (Place("a/tailnet.yaml", 2, 3),)


def test_ranges_of_one_repository_differ() -> None:
    """An overlap is a warning at the narrower range, in each family."""
    a = one("a", "a", "10.0.0.0/8", "fd01::/48")
    b = one("b", "b", "10.1.0.0/16", "fd01::/48")
    start = "is not this tailnet's alone: the one in `a` has"
    assert said(a, b) == [
        ("b", "range-shared", f"the range 10.1.0.0/16 {start} it inside of 10.0.0.0/8"),
        ("b", "range-shared", f"the range fd01::/48 {start} the same"),
    ]
    assert not together([a, b])[1].errors


def test_an_overlap_is_said_once_for_each_range() -> None:
    """A hundred tailnets in one range are 99 findings, not 4950."""
    tailnets = [one(f"t{n:03}", f"t{n}", ipv6=f"fd{n:02x}::/48") for n in range(100)]
    assert len(said(*tailnets)) == 99


def test_neighbours_are_no_overlap() -> None:
    """Ranges that touch, and tailnets that differ in everything, are fine."""
    a = one("", "a", "10.0.0.0/9", "fd01::/48")
    b = one("b", "b", "10.128.0.0/9", "fd02::/48")
    assert said(a, b) == []
    assert [each.root for each in together([b, a])] == ["", "b"]


def test_a_broken_tailnet_is_compared_too() -> None:
    """Nobody mends one, only to hear then that its name is taken."""
    codes = [code for _, code, _ in said(one("a"), one("b", ok=False))]
    assert codes == ["range-shared", "range-shared", "tailnet-clash"]


def test_a_shared_file_is_judged_once() -> None:
    """What two tailnets include is wrong in one place, and said for it once."""
    a, b = checked(SITE, root="a"), checked(SITE, root="b")
    assert all_findings([a, b]) == (SITE,)
