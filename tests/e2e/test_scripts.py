"""The scripts decide rightly, and a pod is served over a real SSH connection.

Full installations are too slow for here; `--dry-run` takes every decision and stops before pip.
What a machine has (Pythons, their torch, a GPU) is put on PATH as small programs that answer as
the real ones do.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

from tests.e2e.machine import PYTHON, Machine
from tests.e2e.sshd import Pod
from tests.tools import need

ROOT = Path(__file__).parents[2]
SCRIPTS = [*sorted((ROOT / "scripts").glob("*.sh")), ROOT / ".ci" / "run"]
SETUP = ROOT / "scripts" / "setup.sh"
QUICKSTART = ROOT / "scripts" / "quickstart.sh"
RUNPOD = ROOT / "scripts" / "runpod.sh"
PINNED = "2.13.0"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_parses_and_passes_shellcheck(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)
    subprocess.run([need("shellcheck"), script], check=True)


@pytest.mark.parametrize("script", ["setup", "quickstart", "test", "runpod"])
def test_help_shows_usage_and_ends_well(script: str, machine: Machine) -> None:
    shown = machine.run(ROOT / "scripts" / f"{script}.sh", "--help")
    assert shown.returncode == 0
    assert "usage" in shown.stdout
    assert "set -euo" not in shown.stdout


def test_the_pinned_torch_is_one_that_the_package_accepts() -> None:
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = {
        line.split("==")[0].replace("_", "-"): line.split("==")[1].strip()
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    assert pins["torch"] == PINNED
    extras = project["optional-dependencies"].values()
    for text in [*project["dependencies"], *(text for extra in extras for text in extra)]:
        requirement = Requirement(text)
        version = pins[requirement.name.replace("_", "-")]
        assert requirement.specifier.contains(version), f"{requirement} refuses {version}"


def test_without_a_gpu_torch_comes_from_the_index_by_its_exact_version(machine: Machine) -> None:
    machine.python("python3", torch="2.12.0+cu130")  # not asked: there is no GPU to work with
    plan = machine.run(SETUP, "--dry-run", QTUI_VENV=str(machine.path / "venv"))
    assert plan.returncode == 0, plan.stderr
    assert f"{PINNED} from the package index" in plan.stdout
    assert "qtui[train,documents,serve,web] from" in plan.stdout
    assert not (machine.path / "venv").exists()


def test_a_working_cuda_torch_of_the_machine_is_kept(machine: Machine) -> None:
    machine.gpu()
    machine.python("python3.11")  # comes first and has no torch
    machine.python("python3", torch="2.12.0+cu130")
    plan = machine.run(SETUP, "--dry-run", "--dev", QTUI_VENV=str(machine.path / "venv"))
    assert plan.returncode == 0, plan.stderr
    assert f"2.12.0+cu130 of {machine.bin}/python3, which works" in plan.stdout
    assert "qtui[train,documents,serve,web,dev] from" in plan.stdout


@pytest.mark.parametrize(("version", "works"), [("2.7.1+cu126", True), ("2.12.0+cu130", False)])
def test_a_torch_too_old_or_without_a_working_gpu_is_not_used(
    machine: Machine, version: str, works: bool
) -> None:
    machine.gpu()
    machine.python("python3", torch=version, gpu=works)
    plan = machine.run(SETUP, "--dry-run", QTUI_VENV=str(machine.path / "venv"))
    assert f"{PINNED} from the package index" in plan.stdout, plan.stderr


def test_the_kept_torch_is_what_pip_is_held_to(machine: Machine) -> None:
    """pip itself is stopped at once (no index); what it was told is in the environment."""
    machine.gpu()
    machine.python("python3", torch="2.12.0+cu130")
    venv = machine.path / "venv"
    setup = machine.run(SETUP, QTUI_VENV=str(venv), PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull)
    assert setup.returncode == 1
    assert "could not get what it needs from the package index" in setup.stderr
    assert "PIP_INDEX_URL" in setup.stderr
    constraints = (venv / "qtui-constraints.txt").read_text().splitlines()
    assert [line for line in constraints if line.startswith("torch==")] == ["torch==2.12.0+cu130"]
    assert "include-system-site-packages = true" in (venv / "pyvenv.cfg").read_text()
    assert not (venv / "qtui-setup.done").exists()


def test_an_old_python_is_refused_by_path_and_version(machine: Machine) -> None:
    old = machine.program("python3", "echo 3.9")
    setup = machine.run(SETUP, QTUI_VENV=str(machine.path / "venv"))
    assert setup.returncode == 4
    assert f"needs Python 3.11 or newer; found: {old} (3.9)" in setup.stderr
    assert "QTUI_PYTHON" in setup.stderr


def test_no_python_at_all_and_a_wrong_choice_are_refused(machine: Machine) -> None:
    setup = machine.run(SETUP, QTUI_VENV=str(machine.path / "venv"))
    assert setup.returncode == 4
    assert "found: none" in setup.stderr
    chosen = machine.run(SETUP, QTUI_PYTHON="/bin/false", QTUI_VENV=str(machine.path / "venv"))
    assert chosen.returncode == 4
    assert "QTUI_PYTHON=/bin/false is not" in chosen.stderr


def test_a_missing_venv_module_names_the_package(machine: Machine) -> None:
    body = f'case "$2" in *ensurepip*) exit 1 ;; esac; exec {PYTHON} "$@"'
    machine.program("python3", body)
    setup = machine.run(SETUP, QTUI_VENV=str(machine.path / "venv"))
    assert setup.returncode == 4
    assert f"python3.{sys.version_info.minor}-venv" in setup.stderr


def test_a_full_disk_is_said_before_anything_is_made(machine: Machine) -> None:
    machine.python("python3")
    (machine.bin / "df").unlink()
    machine.program("df", 'printf "F B U A\\n/dev/x 1 1 1048576 9 /\\n"')
    setup = machine.run(SETUP, QTUI_VENV=str(machine.path / "venv"))
    assert setup.returncode == 4
    assert "has 1 GB free; the environment needs about 4 GB" in setup.stderr
    assert not (machine.path / "venv").exists()


def test_a_folder_with_other_things_in_it_is_never_emptied(machine: Machine) -> None:
    machine.python("python3")
    home = machine.path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("mine")
    setup = machine.run(SETUP, QTUI_VENV=str(home))
    assert setup.returncode == 2
    assert "a folder with other things in it" in setup.stderr
    assert (home / "thesis.txt").read_text() == "mine"


def test_somebody_elses_environment_without_our_python_is_never_emptied(machine: Machine) -> None:
    machine.python("python3")
    theirs = machine.path / "theirs"
    (theirs / "bin").mkdir(parents=True)
    (theirs / "pyvenv.cfg").write_text("version = 3.9.1\n")
    setup = machine.run(SETUP, QTUI_VENV=str(theirs))
    assert setup.returncode == 2
    assert "Remove it, or set QTUI_VENV" in setup.stderr
    assert (theirs / "pyvenv.cfg").exists()


def test_quickstart_gpu_without_a_gpu_is_refused_with_a_sentence(machine: Machine) -> None:
    machine.python("python3")
    refused = machine.run(QUICKSTART, "--gpu", "--dry-run")
    assert refused.returncode == 4
    assert "needs an NVIDIA GPU" in refused.stderr
    assert "without --gpu" in refused.stderr


def test_quickstart_works_from_any_folder_and_trains_in_the_workspace(machine: Machine) -> None:
    machine.python("python3")
    elsewhere = machine.path / "else where"
    elsewhere.mkdir()
    shown = machine.run(
        QUICKSTART, "--dry-run", "--set", "training.seed=7", cwd=elsewhere, QTUI_VENV="own venv"
    )
    assert shown.returncode == 0, shown.stderr
    command = shown.stdout.splitlines()[-1]
    assert command.startswith(f"{elsewhere}/own venv/bin/qtui quickstart --workspace {ROOT}")
    assert command.endswith("--set training.seed=7")


def test_quickstart_gpu_names_an_open_model_and_known_settings(machine: Machine) -> None:
    """The settings that --gpu adds must be ones that the run file has."""
    from qtui.config.load import load

    machine.gpu()
    machine.python("python3", torch="2.12.0+cu130")
    shown = machine.run(QUICKSTART, "--gpu", "--dry-run", QTUI_VENV=str(machine.path / "venv"))
    assert shown.returncode == 0, shown.stderr
    words = shown.stdout.splitlines()[-1].split()
    settings = [word for before, word in itertools.pairwise(words) if before == "--set"]
    assert "model.model_name=Qwen/Qwen2.5-0.5B-Instruct" in settings
    config = load(None, preset="quickstart", overrides=settings, environ={})
    assert config.training.device == "cuda"
    assert config.training.max_steps == 60


def test_test_sh_runs_every_check_and_says_which_failed(machine: Machine) -> None:
    """A clone whose environment answers instead of working: only the script is under test."""
    clone = machine.path / "clone"
    (clone / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "test.sh", clone / "scripts" / "test.sh")
    (clone / "scripts" / "setup.sh").write_text('echo "setup $*"\n')
    tools = clone / ".venv" / "bin"
    tools.mkdir(parents=True)
    for name, code in {"ruff": 1, "mypy": 0, "lint-imports": 3, "python": 0}.items():
        file = tools / name
        file.write_text(f'#!/bin/bash\necho "{name}:" "$@"\nexit {code}\n')
        file.chmod(0o755)
    ran = machine.run(clone / "scripts" / "test.sh", "--fast", "tests/runs", "-k", "lock")
    assert ran.returncode == 1
    assert ran.stderr.strip() == "failed: format lint imports"
    for line in (
        "setup --dev",
        "ruff: format --check .",
        "ruff: check .",
        "python: -m pytest -n 3 --dist loadfile -m not train tests/runs -k lock",
    ):
        assert line in ran.stdout.splitlines()
    verdicts = {line.split()[0]: line.split(" s  ")[1] for line in ran.stdout.splitlines()[-5:]}
    assert verdicts == {
        "format": "FAILED (1)",
        "lint": "FAILED (1)",
        "types": "ok",
        "imports": "FAILED (3)",
        "quick": "ok",
    }
    whole = machine.run(clone / "scripts" / "test.sh")
    assert "python: -m pytest -m train" in whole.stdout.splitlines()
    (tools / "python").write_text("#!/bin/bash\nexit 5\n")  # what was asked for is not there
    none = machine.run(clone / "scripts" / "test.sh")
    assert none.stderr.strip() == "failed: format lint imports quick train"
    some = machine.run(clone / "scripts" / "test.sh", "tests/runs")
    assert some.stderr.strip() == "failed: format lint imports"


# ---- a pod ---------------------------------------------------------------------------------------


def runpod(
    pod: Pod, *arguments: str | Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """scripts/runpod.sh as a laptop runs it."""
    return subprocess.run(
        ["bash", RUNPOD, *pod.login, *arguments],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_pod_is_served_over_ssh(pod: Pod, machine: Machine) -> None:
    machine.gpu()
    machine.python("python3", torch="2.12.0+cu130")
    volume = machine.path / "vol ume"
    volume.mkdir()
    (machine.path / "notes.txt").write_text("not ours")

    ran = runpod(pod, "--volume", volume, "--dry-run")

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"2.12.0+cu130 of {machine.bin}/python3, which works" in ran.stdout
    assert f"environment: {volume}/.qtui/venv (make)" in ran.stdout
    assert f"quickstart --workspace {volume} --set model.model_name=Qwen/" in ran.stdout
    assert (volume / "qtui" / "pyproject.toml").read_text() == (ROOT / "pyproject.toml").read_text()
    assert not (volume / "qtui" / ".venv").exists()
    settings = subprocess.run(
        ["bash", "-c", 'source "$1" && printf "%s\\n" "$HF_HOME" "$PIP_CACHE_DIR" "$QTUI_VENV"',
         "-", volume / "qtui-env.sh"],
        env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert settings.stdout.splitlines() == [
        f"{volume}/huggingface", f"{volume}/.qtui/pip", f"{volume}/.qtui/venv"
    ]  # fmt: skip


def test_the_job_on_a_pod_passes_its_exit_code_on(pod: Pod, machine: Machine) -> None:
    machine.python("python3")  # and no GPU
    volume = machine.path / "volume"
    volume.mkdir()
    ran = runpod(pod, "--volume", volume, "--dry-run")
    assert ran.returncode == 4, ran.stdout + ran.stderr
    assert "needs an NVIDIA GPU" in ran.stdout
    again = runpod(pod, "--volume", volume, "--dry-run", "--builtin")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "quickstart --workspace" in again.stdout


def test_a_lost_connection_leaves_the_job_alone_and_the_same_command_comes_back(
    pod: Pod, machine: Machine
) -> None:
    """The job waits in its choice of a Python until the test lets it go on."""
    volume = machine.path / "volume"
    volume.mkdir()
    started, go = machine.path / "started", machine.path / "go"
    os.mkfifo(go)
    real = machine.python("real-python")
    machine.program(
        "python3", f'[ -e {started} ] || {{ >{started}; read -r <{go}; }}; exec {real} "$@"'
    )
    command = ["bash", RUNPOD, *pod.login, "--volume", volume, "--dry-run", "--builtin"]
    first = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not started.exists():
        assert first.poll() is None, first.stdout.read() if first.stdout else ""
        assert time.monotonic() < deadline, "the job did not start"
        time.sleep(0.05)
    os.killpg(first.pid, 9)  # the laptop is gone, with its ssh
    first.communicate(timeout=20)

    second = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert second.stdout is not None
    lines = []
    for line in second.stdout:
        lines.append(line)
        if "running already" in line:
            break
    go.write_text("\n")
    rest, _ = second.communicate(timeout=60)
    assert any("running already" in line for line in lines), lines
    assert second.returncode == 0, rest
    assert "quickstart --workspace" in rest


def test_on_a_terminal_the_job_is_in_tmux_and_outlives_the_connection(
    pod: Pod, machine: Machine
) -> None:
    tmux = need("tmux")
    (machine.bin / "tmux").symlink_to(tmux)
    machine.python("python3")
    volume = machine.path / "volume"
    volume.mkdir()
    child = pexpect.spawn(
        "bash",
        [str(RUNPOD), *pod.login, "--volume", str(volume), "--dry-run", "--builtin"],
        env=os.environ | {"TERM": "xterm-256color"},
        encoding="utf-8",
        timeout=60,
        dimensions=(40, 160),
    )
    server = {"PATH": os.environ["PATH"], "TMUX_TMPDIR": str(machine.path)}
    try:
        child.expect("environment, the models and the runs are on")
        child.close(force=True)
        shown = subprocess.run(
            [tmux, "capture-pane", "-p", "-S", "-", "-t", "qtui"],
            env=server, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert f"source {volume}/qtui-env.sh" in shown.stdout.replace("\n", "")
    finally:
        subprocess.run([tmux, "kill-server"], env=server, check=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["root@ssh.runpod.io"], "carries no files"),
        (["-p", "22"], "no host"),
        (["a@b", "c@d"], "two hosts"),
        (["--volumes"], "unknown option --volumes"),
        (["--volume"], "needs a value"),
    ],
)
def test_a_wrong_command_line_is_refused(machine: Machine, arguments: list[str], said: str) -> None:
    refused = machine.run(RUNPOD, *arguments)
    assert refused.returncode == 2
    assert said in refused.stderr
