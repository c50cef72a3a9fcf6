"""The peers: pyinfra and ansible-core, in a venv of their own beside ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pushing.ground import PARALLEL, PORT, Ground
from pushing.rounds import Round, measured

PEERS = ("pyinfra>=3.5,<4", "ansible-core>=2.17,<3")
VENV = Path(__file__).resolve().parents[2] / ".venv-bench"
FORKS = 32
"""Of ansible: a process each."""
ANSIBLE_NODES = 20


def install() -> None:
    if not (VENV / "bin/pyinfra").exists() or not (VENV / "bin/ansible").exists():
        print("installing pyinfra and ansible-core into .venv-bench", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        words = [VENV / "bin/pip", "install", "--quiet", *PEERS]
        subprocess.run(words, check=True)


def pyinfra(ground: Ground, number: int) -> tuple[Round, Round]:
    """The first run and the second of a round; each round copies to other names."""
    folder = ground.folder
    (folder / "known").write_text(
        "".join(f"[{at.host}]:{PORT} {at.host_key}\n" for at in ground.logins)
    )
    hosts = [
        (
            login.host,
            {
                "ssh_port": PORT,
                "ssh_user": "root",
                "ssh_key": str(folder / "peer"),
                "ssh_known_hosts_file": str(folder / "known"),
                "dest": str(folder / f"to/{number}-{login.node}"),
            },
        )
        for login in ground.logins
    ]
    (folder / "inventory.py").write_text(f"nodes = {hosts!r}\n")
    (folder / "deploy.py").write_text(
        "from pyinfra import host\n"
        "from pyinfra.operations import files, server\n"
        f"files.put(src={str(folder / 'file')!r}, dest=host.data.dest, mode='600')\n"
        "server.shell(commands=['true'])\n"
    )
    words = [str(VENV / "bin/pyinfra"), "-y", "--parallel", str(PARALLEL)]
    words += ["inventory.py", "deploy.py"]
    return ran(folder, words, len(hosts)), ran(folder, words, len(hosts))


def ansible(ground: Ground, number: int) -> tuple[Round, Round]:
    folder = ground.folder
    chosen = ground.logins[:ANSIBLE_NODES]
    (folder / "hosts.ini").write_text(
        "".join(
            f"{login.host} ansible_port={PORT} ansible_user=root "
            f"ansible_ssh_private_key_file={folder}/peer "
            f"ansible_python_interpreter={sys.executable} "
            f"dest={folder}/to/a{number}-{login.node}\n"
            for login in chosen
        )
    )
    task = f"copy: {{src: {folder}/file, dest: '{{{{ dest }}}}', mode: '600'}}"
    (folder / "play.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        f"    - {task}\n    - command: 'true'\n      changed_when: false\n"
    )
    (folder / "ansible.cfg").write_text(
        f"[defaults]\nforks = {FORKS}\nhost_key_checking = false\n"
        f"local_tmp = {folder}/local\nretry_files_enabled = false\n"
        "[ssh_connection]\npipelining = true\n"
        f"control_path_dir = {folder}/cp{number}\n"
    )
    words = [str(VENV / "bin/ansible-playbook"), "-i", "hosts.ini", "play.yml"]
    return ran(folder, words, len(chosen)), ran(folder, words, len(chosen))


def ran(folder: Path, words: list[str], hosts: int) -> Round:
    def run() -> None:
        done = subprocess.run(
            words, cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])

    return measured(hosts, run)
