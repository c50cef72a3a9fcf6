"""Several tailnets of one repository: what each has, and what they do to each other.

A machine may be in two of them. Then their interfaces (`tg-NAME`) and the folders on a
node bear the tailnets' names, so two of one name can't both be there; and an address
that lies in both ranges means one of two machines, depending on the route.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tailgit.access.routes import covers, prefix_order
from tailgit.load import Loaded
from tailgit.model.addresses import Network
from tailgit.model.codes import finding
from tailgit.model.findings import Finding, in_order
from tailgit.model.tailnet import Tailnet
from tailgit.model.text import shown


@dataclass(frozen=True, slots=True)
class Checked:
    """One tailnet as it was loaded, with everything that was found about it."""

    loaded: Loaded
    findings: tuple[Finding, ...]

    @property
    def root(self) -> str:
        """Its folder, relative to the top of the repository (`""` = the top)."""
        return self.loaded.root

    @property
    def tailnet(self) -> Tailnet | None:
        """The tailnet, unless it can't be loaded without an error."""
        return self.loaded.tailnet

    @property
    def name(self) -> str | None:
        """The tailnet's name, also of one that is built only in part."""
        known = self.loaded.tailnet or self.loaded.partial
        return known.name if known else None

    @property
    def errors(self) -> int:
        return sum(finding.is_error for finding in self.findings)

    @property
    def warnings(self) -> int:
        return len(self.findings) - self.errors


def together(checked: Iterable[Checked]) -> tuple[Checked, ...]:
    """The same tailnets by root, each also with what it does to the others."""
    by_root = sorted(checked, key=lambda each: each.root)
    known = [
        (each.root, tailnet)
        for each in by_root
        if (tailnet := each.loaded.tailnet or each.loaded.partial) is not None
    ]
    more: dict[str, list[Finding]] = {}
    for root, found in (*_same_names(known), *_shared_ranges(known)):
        more.setdefault(root, []).append(found)
    return tuple(
        replace(each, findings=in_order((*each.findings, *more[each.root])))
        if each.root in more
        else each
        for each in by_root
    )


def all_findings(checked: Iterable[Checked]) -> tuple[Finding, ...]:
    """By root; what an included file says wrongly in several tailnets is said once."""
    return tuple(dict.fromkeys(each for one in checked for each in one.findings))


def _same_names(
    tailnets: Sequence[tuple[str, Tailnet]],
) -> Iterator[tuple[str, Finding]]:
    """A finding at each but the first tailnet of a name."""
    first: dict[str, tuple[str, Tailnet]] = {}
    for root, tailnet in tailnets:
        other_root, other = first.setdefault(tailnet.name, (root, tailnet))
        if other is tailnet:
            continue
        yield (
            root,
            finding(
                "tailnet-clash",
                tailnet.place,
                f"the tailnet in {_folder(other_root)} is named "
                f"`{shown(tailnet.name)}`, too",
                "give one of them another name: interface and folder on a node bear it",
                [other.place],
            ),
        )


def _shared_ranges(
    tailnets: Sequence[tuple[str, Tailnet]],
) -> Iterator[tuple[str, Finding]]:
    """A finding at each range that lies in another tailnet's, or is the same.

    In order of address, a range can only lie in one of those that are still open.
    """
    ranges: list[tuple[Network, str, Tailnet]] = [
        (pool, root, tailnet)
        for root, tailnet in tailnets
        for pool in (tailnet.ipv4, tailnet.ipv6)
    ]
    ranges.sort(key=lambda each: (*prefix_order(each[0]), each[1]))
    around: list[tuple[Network, str, Tailnet]] = []
    for pool, root, tailnet in ranges:
        while around and not covers(around[-1][0], pool):
            around.pop()
        if around:
            wider, other_root, other = around[-1]
            same = "has the same" if wider == pool else f"has it inside of {wider}"
            yield (
                root,
                finding(
                    "range-shared",
                    tailnet.place,
                    f"the range {pool} is not this tailnet's alone: the one in "
                    f"{_folder(other_root)} {same}",
                    "a machine can't be in both; give each tailnet its own range",
                    [other.place],
                ),
            )
        around.append((pool, root, tailnet))


def _folder(root: str) -> str:
    return f"`{shown(root)}`" if root else "the repository's top"
