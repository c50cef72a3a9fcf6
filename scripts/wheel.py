"""Builds the release as users get it and tries it (`make wheel`).

The wheel is built from the sdist, never from the tree: what the sdist forgets must
be missing here. It is then installed into a fresh venv, outside of the checkout.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

TAILNET = """\
tailnet:
  format: 1
  name: tiny
  domain: tiny.internal
  ipv4: 100.64.0.0/10
  ipv6: fd5c:91aa:7be0::/48
grants: []
"""


def build(folder: Path) -> Path:
    """The wheel, built into `folder` beside its sdist."""
    _run(sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT))
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, venv: Path) -> Path:
    """The `tailgit` program of a new venv that has the wheel and nothing of ours."""
    _run(sys.executable, "-m", "venv", str(venv))
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    _run(*pip, "install", "--quiet", str(wheel))
    return venv / "bin" / "tailgit"


def try_out(tailgit: Path, folder: Path) -> list[str]:
    """What an installed `tailgit` prints for its version and for a tiny tailnet."""
    repo = folder / "tiny"
    repo.mkdir()
    (repo / "tailnet.yaml").write_text(TAILNET)
    return [
        _run(str(tailgit), "--version", cwd=folder),
        _run(str(tailgit), "check", str(repo), cwd=folder),
    ]


def _run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, text=True, capture_output=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    wheel = build(dist)
    with zipfile.ZipFile(wheel) as archive:
        for entry in sorted(archive.infolist(), key=lambda entry: entry.filename):
            print(f"{entry.file_size:9,}  {entry.filename}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tailgit = install(wheel, folder / "venv")
        print("".join(try_out(tailgit, folder)), end="")
    print(wheel.relative_to(ROOT))


if __name__ == "__main__":
    main()
