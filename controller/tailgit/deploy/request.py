"""One request to one node: a verb over SSH, and its answer or why there is none."""

from __future__ import annotations

from tailgit.deploy.answer import Answer, parse
from tailgit.deploy.ssh import Reply, Session
from tailgit.errors import BadAnswer, NodeRefused
from tailgit.model.text import shown

SECONDS = {
    "stage": 180.0,
    "activate": 120.0,
    "rollback": 120.0,
    "deposit": 180.0,
    "probe": 30.0,
}
"""Time limits; each holds the 20 seconds that a node waits for its own lock."""

OTHERS = 60.0


async def ask(
    session: Session,
    node: str,
    verb: str,
    tailnet: str,
    *arguments: str,
    stdin: bytes = b"",
) -> Answer:
    """The answer `ok` of `node`; raises `NodeRefused` if it says no, else a
    `NodeError`."""
    reply = await session.run(
        " ".join((verb, tailnet, *arguments)),
        stdin=stdin,
        seconds=SECONDS.get(verb, OTHERS),
    )
    return understood(node, verb, tailnet, reply)


def understood(node: str, verb: str, tailnet: str, reply: Reply) -> Answer:
    """The answer in `reply`, if it is `ok` and belongs to this request."""
    try:
        answer = parse(node, reply.stdout)
    except BadAnswer as error:
        said = reply.stderr.decode(errors="replace").strip().splitlines()
        if not said:
            raise
        raise BadAnswer(
            node, f"{error.message}; it wrote: {shown(said[-1])}", error.help
        ) from None
    if answer.one("result") == "error":
        token = "".join(answer.every("token")[:1])
        raise NodeRefused(node, answer.one("error"), answer.one("message"), token)
    if (answer.one("verb"), answer.one("tailnet")) != (verb, tailnet):
        raise BadAnswer(node, f"it answers another request than `{verb} {tailnet}`")
    return answer
