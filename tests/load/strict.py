"""A second reader of a tailnet's files, that shares nothing with `tailgit.load`.

PyYAML's own scanner and parser in Python (tailgit uses libyaml), Python's own JSON
reader, `jsonschema` with the schemas as they lie in `schemas/`, and plain loops over
the names. It knows less than tailgit and so accepts more; but whatever tailgit calls
valid, it must call valid, too. `Refused` says why not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

SCHEMAS = Path(__file__).parents[2] / "schemas"
FILE = "tailnet-file.schema.json"

BY_KEY = ("users", "groups", "hosts", "devices", "tagOwners", "ipsets", "postures")
AUTOGROUPS = {
    *("member", "tagged", "self", "internet", "danger-all", "shared", "owner"),
    *("admin", "it-admin", "network-admin", "billing-admin", "auditor"),
}


class Refused(Exception):
    """The files are no valid tailnet."""


class Plain(str):
    """Text without quotes: only the schema knows whether it is a number."""


def judge(files: Mapping[str, bytes]) -> None:
    """`Refused` unless the files of one root are a valid tailnet, as far as it sees."""
    documents = {name: read(data, name) for name, data in files.items()}
    excluded = documents["tailnet.yaml"].get("exclude", [])
    for pattern in excluded if isinstance(excluded, list) else []:
        for name in [name for name in documents if is_excluded(name, pattern)]:
            if name != "tailnet.yaml":
                del documents[name]
    for name, document in documents.items():
        validate(document, name)
    united = unite(documents)
    if not isinstance(documents["tailnet.yaml"].get("tailnet"), dict):
        raise Refused("tailnet.yaml says no tailnet")
    judge_devices(united)
    judge_names(united, documents)


# Reading


def read(data: bytes, name: str) -> dict[str, Any]:
    """Mappings, lists, `Plain` and text; nothing is typed."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(f"{name}: {error}") from None
    value = read_json(text, name) if name.endswith(".json") else read_yaml(text, name)
    if not isinstance(value, dict):
        raise Refused(f"{name}: not a mapping")
    return value


def read_json(text: str, name: str) -> Any:
    def plain(value: object) -> Any:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [plain(inner) for inner in value]
        return Plain(json.dumps(value)) if value in (None, True, False) else value

    def constant(word: str) -> Any:
        raise Refused(f"{name}: {word} is not JSON")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise Refused(f"{name}: a key twice")
        return dict(pairs)

    try:
        loaded = json.loads(
            text,
            object_pairs_hook=unique,
            parse_constant=constant,
            parse_int=Plain,
            parse_float=Plain,
        )
    except (ValueError, RecursionError) as error:
        raise Refused(f"{name}: {error}") from None
    return plain(loaded)


def read_yaml(text: str, name: str) -> Any:
    # YAML allows these as blanks and within words, and PyYAML's own scanner does not.
    text = re.sub(r"(?<=\S)\?", "_", text.replace("\t", " "))
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if getattr(event, "anchor", None) or getattr(event, "tag", None):
                raise Refused(f"{name}: an anchor, alias or tag")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        value = {} if root is None else of_node(root, name)
        return {} if isinstance(value, Plain) and not value else value  # `---` alone
    except (yaml.YAMLError, RecursionError) as error:
        raise Refused(f"{name}: {error}") from None


def of_node(node: yaml.Node, name: str) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return [of_node(each, name) for each in node.value]
    if isinstance(node, yaml.ScalarNode):
        return node.value if node.style else Plain(node.value)
    found: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise Refused(f"{name}: a key that is no text")
        if key.style is None and key.tag != "tag:yaml.org,2002:str":
            raise Refused(f"{name}: the key {key.value} is {key.tag}")
        if key.value in found:
            raise Refused(f"{name}: {key.value} twice")
        found[key.value] = of_node(value, name)
    return found


def is_excluded(name: str, pattern: str) -> bool:
    expression = "[^/]*".join(map(re.escape, pattern.removesuffix("/").split("*")))
    return re.match(f"{expression}(/|$)", name) is not None


# The schemas


@cache
def schemas() -> dict[str, Any]:
    return {each.name: json.loads(each.read_bytes()) for each in SCHEMAS.glob("*.json")}


@cache
def validator() -> Draft202012Validator:
    resources = [(n, Resource.from_contents(each)) for n, each in schemas().items()]
    registry: Registry[Any] = Registry().with_resources(resources)
    return Draft202012Validator({"$ref": FILE}, registry=registry)


def validate(document: dict[str, Any], name: str) -> None:
    """Types the scalars in place where the schema wants it, and asks jsonschema."""
    later: list[str] = []
    document.update(typed(document, {"$ref": FILE}, FILE, later))
    if later:
        raise Refused(f"{name}: {later[0]} is not there yet")
    for error in validator().iter_errors(document):
        raise Refused(f"{name}: {error.json_path}: {error.message}")


def typed(value: Any, schema: Any, base: str, later: list[str]) -> Any:
    """The value with its plain scalars as the schema's types want them."""
    branches = list(flat(schema, base))
    kinds = {each.get("type") for each, _ in branches}
    if isinstance(value, dict):
        return {
            key: typed(inner, *field(branches, key, later), later)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        items = [(each["items"], at) for each, at in branches if "items" in each]
        inner, at = items[0] if items else ({}, base)
        return [typed(each, inner, at, later) for each in value]
    if isinstance(value, Plain):
        if "boolean" in kinds and value in ("true", "false"):
            return value == "true"
        if "null" in kinds and value in ("null", "~"):
            return None
        if "integer" in kinds and re.fullmatch("-?(0|[1-9][0-9]*)", value):
            return int(value)
    return str(value)


def flat(schema: Any, base: str) -> Iterator[tuple[dict[str, Any], str]]:
    """What a schema says, its references followed and its `anyOf` side by side."""
    if "$ref" in schema:
        file, _, pointer = schema["$ref"].partition("#")
        target = schemas()[file or base]
        for step in filter(None, pointer.split("/")):
            target = target[step]
        yield from flat(target, file or base)
    for each in schema.get("anyOf", ()):
        yield from flat(each, base)
    yield schema, base


def field(
    branches: list[tuple[dict[str, Any], str]], key: str, later: list[str]
) -> tuple[Any, str]:
    """The schema of one key of a mapping."""
    for schema, base in branches:
        inner = schema.get("properties", {}).get(
            key, schema.get("additionalProperties")
        )
        if isinstance(inner, dict):
            for each, _ in flat(inner, base):
                if each.get("x-not-yet", {}).get("severity") == "error":
                    later.append(key)
            return inner, base
    return {}, FILE


# The names


def unite(documents: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    united: dict[str, dict[str, Any]] = {section: {} for section in BY_KEY}
    for name, document in documents.items():
        for section in BY_KEY:
            for key, value in document.get(section, {}).items():
                if key in united[section]:
                    raise Refused(f"{name}: {section} {key} twice")
                united[section][key] = value
        for device, about in document.get("devices", {}).items():
            defaults = document.get("deviceDefaults", {})
            united["devices"][device] = {**defaults, **about}
        if name != "tailnet.yaml" and {"tailnet", "include", "exclude"} & set(document):
            raise Refused(f"{name}: what only tailnet.yaml may say")
    return united


def judge_devices(united: dict[str, dict[str, Any]]) -> None:
    """One owner or some tags; no key, pin or endpoint twice; no alias of its name."""
    taken: dict[tuple[str, str], str] = {}
    for name, about in united["devices"].items():
        if ("owner" in about) == ("tags" in about):
            raise Refused(f"{name}: owner or tags")
        if name in united["hosts"]:
            raise Refused(f"{name}: an alias, too")
        said = [(key, about[key]) for key in ("publicKey", "ipv4") if key in about]
        said += [("endpoint", each) for each in set(about.get("endpoints", []))]
        said += [("name", name)]
        said += [("name", each) for each in set(about.get("formerly", []))]
        for each in said:
            if each in taken:
                raise Refused(f"{name}: {each} is {taken[each]}'s")
            taken[each] = name
        if "owner" in about:
            judge_user(about["owner"], united)
        for tag in about.get("tags", []):
            judge_selector(tag, united)


def judge_names(
    united: dict[str, dict[str, Any]], documents: dict[str, dict[str, Any]]
) -> None:
    """Whoever is mentioned is there."""
    for members in united["groups"].values():
        for member in members:
            judge_user(member, united)
    for owners in united["tagOwners"].values():
        for owner in owners:
            judge_selector(owner, united)
    rules = 0
    for document in documents.values():
        rules += ("acls" in document) + ("grants" in document)
        for who in document.get("autoApprovers", {}).get("routes", {}).values():
            for each in who:
                judge_selector(each, united)
        for rule in [*document.get("acls", []), *document.get("grants", [])]:
            for each in rule["src"]:
                judge_selector(each, united)
        for grant in document.get("grants", []):
            for each in grant["dst"]:
                judge_selector(each, united)
        for acl in document.get("acls", []):
            if acl["action"] != "accept":
                raise Refused(f"action {acl['action']}")
            for each in acl["dst"]:
                judge_selector(each.rpartition(":")[0], united)
        for test in document.get("tests", []):
            judge_selector(test["src"], united)
            for each in [*test.get("accept", []), *test.get("deny", [])]:
                judge_selector(each.rpartition(":")[0], united)
    if united["devices"] and not rules:
        raise Refused("neither acls nor grants")


def judge_user(login: str, united: dict[str, dict[str, Any]]) -> None:
    known = united["users"]
    if "@" not in login or (known and login.strip() not in known):
        raise Refused(f"no user {login}")


def judge_selector(text: str, united: dict[str, dict[str, Any]]) -> None:
    text = text.strip()
    kind, colon, rest = text.partition(":")
    if text == "*" or text in united["devices"] or text in united["hosts"]:
        return
    if text.startswith("user:*@"):
        domains = {login.rpartition("@")[2] for login in united["users"]}
        if domains and text.removeprefix("user:*@") not in domains:
            raise Refused(f"no domain {text}")
    elif "@" in text:
        judge_user(text, united)
    elif kind == "autogroup" and colon:
        if rest not in AUTOGROUPS:
            raise Refused(f"no {text}")
    elif kind in ("group", "tag", "ipset") and colon:
        section = {"group": "groups", "tag": "tagOwners", "ipset": "ipsets"}[kind]
        if text not in united[section]:
            raise Refused(f"no {text}")
    else:
        try:
            ip_network(re.sub(r"[\[\]]", "", text), strict=False)
        except ValueError as error:
            raise Refused(str(error)) from None
