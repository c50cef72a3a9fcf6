"""How the fuzzer damages a tailnet: its bytes, or its values printed anew."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from random import Random
from typing import Any

from tests.load import strict
from tests.load.strict import Plain

Files = dict[str, bytes]

WORDS = [
    *("", "*", "~", "null", "yes", "no", "on", "true", "false", "True", "TRUE", "x"),
    *("0", "1", "-1", "01", "1e3", "1_000", "0x10", "22:22", "99999", "65536", "1.0"),
    *("::/0", "0.0.0.0/0", "10.0.0.0/99", "10.0.0.1/8", "2001:db8::", "[2001:db8::1]"),
    *("[::1]:22", "100.64.0.1", "fd5c:91aa:7be0::1", "::ffff:10.0.0.1", "fe80::1%x"),
    *("203.0.113.10:51820", "203.0.113.10:0", "256.1.1.1:1", "1.2.3.4:٣", "ff00::/8"),
    *("tag:", "tag:db", "tag:web", "tag:x", "group:", "group:x", "group:data-team"),
    *("autogroup:self", "autogroup:member", "autogroup:internet", "autogroup:", "db-1"),
    *("ana@acme.com", "@", "a@b", "user:*@x", "ipset:x", "svc:x", "posture:x", "host:"),
    *("db-1:22", "*:*", "tag:db:22", ":22", "tag:db:*", "tcp:22", "tcp:", "tcp:0-9"),
    *("icmp:*", "udp:53,54", "80-79", "²", "٣", "ä", "é", "é", "\u202e", "\u200b"),
    *("\x1b[2J", "\x00", "\ufeff", "\U000e0041", "😀", "a" * 70, "a" * 5000, "- a"),
    *(" x", "x ", "a: b", "a\nb", "a\tb", "'", '"', "{", "[", "&a", "*a", "!t", "#"),
    *("A" * 43 + "=", "B" * 42 + "A=", "ssh-ed25519 AAAA", "2027-01-31", "2027-02-30"),
    *("accept", "drop", "ssh", "pull", "wg-quick", "file", "tailgit >=0.1", "../x"),
    *("devices", "grants", "acls", "users", "tailnet", "<<", "=", "constructor"),
    *("exclude", "include", "dns", "ipsets", "delegations", "generated", "expires"),
    *("*.yaml", "people.yaml", "a/", "a/*", "../x.yaml", "./people.yaml", "formerly"),
]
PARTS: list[Any] = [[], {}, [[]], [{}], {"x": "y"}, {"": ""}, ["*"], [""], [["*:*"]]]
TOKENS = [
    *(b"\n", b"\r\n", b"\r", b"\t", b" ", b"  ", b": ", b":", b"- ", b"-", b"[", b"]"),
    *(b"{", b"}", b",", b'"', b"'", b"#", b" #", b"&a ", b"*a", b"*", b"!!str ", b"|"),
    *(b">", b"%", b"@", b"`", b"? ", b"---\n", b"...\n", b"<<: ", b"\xef\xbb\xbf"),
    *(b"\x00", b"\xff", b"\xc2\x85", b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\xc3", b"\\"),
    *(b"%YAML 1.1\n---\n", b"null", b"true", b"1e3", b"::", b"\xe2\x80\xae", b"\x1b["),
    *(b"[" * 40, b"{a: " * 40, b"- " * 40, b"A" * 2000, b"privateKey: ", b"<<<<<<< "),
]


def change_bytes(random: Random, files: Files) -> Files:
    """One file or two with some bytes cut, put in, doubled, swapped or flipped."""
    files = dict(files)
    for _ in range(random.choice([1, 1, 1, 2, 3, 6])):
        name = random.choice(sorted(files))
        data = bytearray(files[name])
        start = random.randint(0, len(data))
        end = min(len(data), start + random.choice([0, 1, 1, 2, 5, 20, 200]))
        what = random.randrange(6)
        if what == 0:
            data[start:end] = b""
        elif what == 1:
            data[start:start] = random.choice(TOKENS)
        elif what == 2:
            data[start:end] = random.choice(TOKENS)
        elif what == 3:
            data[start:start] = data[start:end] * random.choice([1, 1, 2, 50])
        elif what == 4:
            other = files[random.choice(sorted(files))]
            at = random.randint(0, len(other))
            data[start:end] = other[at : at + random.choice([1, 10, 100, 1000])]
        elif data:
            data[min(start, len(data) - 1)] ^= 1 << random.randrange(8)
        if random.random() < 0.02:
            data = data[:start]
        files[name] = bytes(data)
    return files


# Changing values


def change_values(random: Random, files: Files) -> Files:
    """Keys, values and sections dropped, doubled, renamed, replaced or moved."""
    documents = {name: copy.deepcopy(value) for name, value in plain(files).items()}
    for _ in range(random.choice([1, 1, 1, 2, 2, 3, 5])):
        name = random.choice(sorted(documents))
        spots = list(holders(documents[name]))
        if spots:
            change(random, *random.choice(spots), documents)
    printed = {}
    for name, document in documents.items():
        if name != "tailnet.yaml" and random.random() < 0.1:
            name = re.sub(r"\.\w+$", random.choice([".json", ".yml", ".yaml"]), name)
        as_json = name.endswith(".json")
        text = json.dumps(bare(document)) if as_json else to_yaml(document, random)
        printed[name] = text.encode(errors="surrogatepass")
    return printed


_READ: dict[int, dict[str, Any]] = {}


def plain(files: Files) -> dict[str, Any]:
    """The documents of a seed; each seed is read once."""
    if id(files) not in _READ:
        read = {name: strict.read(data, name) for name, data in files.items()}
        _READ[id(files)] = read
    return _READ[id(files)]


def holders(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each mapping or list with each of its keys or indices."""
    steps = value if isinstance(value, dict) else range(len(value))
    for step in list(steps):
        yield value, step
        if isinstance(value[step], dict | list):
            yield from holders(value[step])


def change(random: Random, holder: Any, step: Any, documents: dict[str, Any]) -> None:
    value = holder[step]
    match random.randrange(8):
        case 0:
            del holder[step]
        case 1:
            holder[step] = odd(random)
        case 2 | 3 if isinstance(value, str):
            holder[step] = near(random, value, documents)
        case 2 | 3:
            holder[step] = random.choice([odd(random), copy.deepcopy(value)])
        case 4 if isinstance(holder, dict):  # rename, or write over another
            del holder[step]
            key = random.choice([*WORDS, *holder, f"{step}x", str(step).upper(), "x"])
            holder[key] = value
        case 4:
            holder.append(copy.deepcopy(value))
        case 5:  # the same somewhere else
            where = list(holders(documents[random.choice(sorted(documents))]))
            if where:
                other, at = random.choice(where)
                other[at] = copy.deepcopy(value)
        case 6 if isinstance(holder, dict):
            holder[random.choice(WORDS)] = odd(random)
        case 6:
            holder.append(odd(random))
        case _:
            holder[step] = random.choice([[value], {"x": value}, {str(step): value}])


def near(random: Random, text: str, documents: dict[str, Any]) -> str:
    """Text that could stand there: a slip in it, or what stands somewhere else."""
    kind = Plain if random.random() < 0.5 else str
    match random.randrange(4):
        case 0:
            at = random.randint(0, len(text))
            letter = random.choice(
                ["", "", "0", "x", " ", ":", "/", "*", ",", "ä", "-"]
            )
            return kind(text[:at] + letter + text[at + random.choice([0, 1]) :])
        case 1:
            return kind(random.choice([text.upper(), f" {text}", f"{text} ", text * 2]))
        case 2:
            spots = list(holders(documents[random.choice(sorted(documents))]))
            found = [each for h, s in spots for each in (s, h[s]) if type(each) is str]
            return kind(random.choice([*found, text]))
        case _:
            return kind(random.choice(WORDS))


def odd(random: Random) -> Any:
    if random.random() < 0.2:
        return copy.deepcopy(random.choice(PARTS))
    word = random.choice(WORDS)
    return Plain(word) if random.random() < 0.6 else word


def bare(value: Any) -> Any:
    """For JSON: plain words and numbers without quotes, where JSON knows them."""
    if isinstance(value, dict):
        return {key: bare(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [bare(inner) for inner in value]
    if isinstance(value, Plain) and re.fullmatch("true|false|null|[1-9][0-9]*", value):
        return json.loads(value)
    return str(value)


def to_yaml(value: Any, random: Random, indent: int = 0) -> str:
    """Block or flow, quotes or none, by chance; not always YAML then."""
    pad = "  " * indent
    if not isinstance(value, dict | list):
        return f"{scalar(value, random)}\n"
    if not value or random.random() < 0.15:
        return f"{flow(value, random)}\n"
    lines = []
    entries = value.items() if isinstance(value, dict) else ((None, v) for v in value)
    for key, inner in entries:
        start = "-" if key is None else f"{scalar(Plain(key), random)}:"
        block = to_yaml(inner, random, indent + 1)
        is_block = isinstance(inner, dict | list) and block[:1] == " "
        lines.append(f"{pad}{start}" + (f"\n{block}" if is_block else f" {block}"))
    return "".join(lines)


def flow(value: Any, random: Random) -> str:
    if isinstance(value, dict):
        pairs = (
            f"{scalar(Plain(k), random)}: {flow(v, random)}" for k, v in value.items()
        )
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(each, random) for each in value) + "]"
    return scalar(value, random)


def scalar(text: str, random: Random) -> str:
    simple = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9@./+=-]*(:[A-Za-z0-9/.-]+)*", text)
    if isinstance(text, Plain) and (simple or random.random() < 0.1):
        return text
    if random.random() < 0.2:
        return "'" + text.replace("'", "''") + "'"
    return json.dumps(text, ensure_ascii=random.random() < 0.5)
