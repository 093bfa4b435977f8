"""The tools of the field: found on this machine, or started, or said to be absent and why."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(os.environ.get("BIDS_FILM_TEST_TOOLS", ROOT.parent / "shared" / "tools"))
"""Scripts that start a Docker engine, Apptainer and SLURM on a bare machine, where it has none."""
LAB = Path(os.environ.get("BIDS_FILM_TEST_LAB", Path(tempfile.gettempdir()) / "bids-film-lab"))
"""Where those scripts keep what they make, so that a second run finds its image built."""
IMAGE = "bids-film"
ORDINARY_USER = "hpcuser"
PLACE = "bids-film-containers-"


class AbsentError(Exception):
    """A tool that can't be had on this machine; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool that answers.

    Attributes
    ----------
    version : str
    started_by_us : bool
        Whether it has to be stopped at the end.
    """

    version: str
    started_by_us: bool


def run(
    *command: object, cwd: Path | None = None, user: str = "", timeout_s: float = 900, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; as an ordinary user where that is asked for and we are root."""
    words = list(map(str, command))
    if user and os.getuid() == 0:
        home = f"HOME=/home/{user}"
        words = ["runuser", "-u", user, "--", "env", "-u", "LOGNAME", home, f"USER={user}", *words]
    return subprocess.run(
        words,
        cwd=cwd,
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def check(done: subprocess.CompletedProcess[str]) -> str:
    """Give the standard output of a command that must have gone well."""
    assert done.returncode == 0, f"{done.args}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@cache
def find_docker() -> Tool:
    """Find a Docker engine, or start one."""
    version = _answer("docker", "version", "--format", "{{.Server.Version}}")
    if version:
        return Tool(version=version, started_by_us=False)
    _use(_start_tool("02_dockerd.sh", "env"))
    running = bool(_answer("docker", "version", "--format", "{{.Server.Version}}"))
    _start_tool("02_dockerd.sh", "start")
    version = _answer("docker", "version", "--format", "{{.Server.Version}}")
    return Tool(version=version, started_by_us=not running)


def find_compose() -> Tool:
    """Find compose."""
    if not compose():
        raise AbsentError("neither docker compose nor docker-compose is installed here")
    return Tool(version=_answer(*compose(), "version", "--short"), started_by_us=False)


@cache
def compose() -> tuple[str, ...]:
    """Give the words that call compose: Docker's plugin, or what older systems have instead."""
    ways = (("docker", "compose"), ("docker-compose",))
    return next((words for words in ways if _answer(*words, "version", "--short")), ())


@cache
def find_apptainer() -> Tool:
    """Find Apptainer, or install it."""
    if not _answer("apptainer", "--version"):
        _start_tool("05_apptainer.sh")
    elif os.getuid() == 0 and (TOOLS / "05_apptainer.sh").exists():
        _start_tool("05_apptainer.sh")  # /dev/fuse is forgotten at each start of the machine
    version = _answer("apptainer", "--version").removeprefix("apptainer version ")
    if not version:
        raise AbsentError("apptainer does not answer")
    return Tool(version=version, started_by_us=False)


@cache
def find_slurm() -> Tool:
    """Find a SLURM cluster, or start one of two virtual machines with room for four tasks."""
    if _answer("sinfo", "--noheader"):
        return Tool(version=_slurm_version(), started_by_us=False)
    os.environ |= {"NODES": "2", "CPUS": "4", "MEM": "9000"}
    _start_tool("06_slurm.sh", "start")
    _use(_start_tool("06_slurm.sh", "env"))
    return Tool(version=_slurm_version(), started_by_us=True)


@cache
def find_datalad() -> Tool:
    """Find DataLad with what it needs for containers, or install it where the image is kept."""
    programs = LAB / "datalad" / "bin"
    os.environ["PATH"] += f"{os.pathsep}{programs}"  # at the end: its python is not ours
    if not _datalad_version():
        venv.create(programs.parent, with_pip=True)
        packages = ["datalad", "datalad-container", "git-annex"]
        done = run("nice", programs / "python", "-m", "pip", "install", "--quiet", *packages)
        if done.returncode:
            words = done.stderr.strip().splitlines() or ["no message"]
            raise AbsentError(f"pip install failed: {words[-1][:200]}")
    version = _datalad_version()
    if not version:
        raise AbsentError("datalad containers-add or git-annex does not answer")
    return Tool(version=version, started_by_us=False)


def stop_what_we_started() -> None:
    """Stop engine and cluster if this process started them."""
    for find, script in ((find_slurm, "06_slurm.sh"), (find_docker, "02_dockerd.sh")):
        if find.cache_info().currsize and find().started_by_us:
            _start_tool(script, "stop")


def build_image(*arguments: str) -> None:
    """Build the image as the Dockerfile says; what was built before is taken from the cache."""
    script = TOOLS / "03_docker_build.sh"
    if script.exists() and os.environ.get("PIP_FIND_LINKS"):
        command = [script, ROOT, IMAGE, "--build-arg", "TORCH_INDEX=", *arguments]
        check(run("nice", *command, timeout_s=1800, LAB=str(LAB)))
    else:
        check(run("docker", "build", "--tag", IMAGE, *arguments, ROOT, DOCKER_BUILDKIT="1"))


def build_sif(archive: Path, sif: Path) -> None:
    """Build the Apptainer image from Docker's by the definition file."""
    settings = {"APPTAINER_CACHEDIR": str(LAB / "cache"), "APPTAINER_TMPDIR": str(sif.parent)}
    fast = ["--mksquashfs-args", "-comp zstd -Xcompression-level 3"]
    arguments = ["--build-arg", f"FROM={archive}", sif, "singularity/bids_film.def"]
    check(run("nice", "apptainer", "build", "--fakeroot", *fast, *arguments, cwd=ROOT, **settings))


def make_ordinary_user() -> str:
    """Make the account that programs run as where the tests run as root."""
    if os.getuid() == 0 and run("id", ORDINARY_USER).returncode:
        check(run("useradd", "--create-home", ORDINARY_USER))
    return ORDINARY_USER


@contextmanager
def open_place() -> Iterator[Path]:
    """Make a session's folder; it goes at the end, or with the next session if this is killed."""
    for left in Path(tempfile.gettempdir()).glob(f"{PLACE}*"):
        with suppress(OSError):  # another session's, or another user's
            _hold(left)
            shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=PLACE))
    folder.chmod(0o755)
    _hold(folder)
    yield folder
    shutil.rmtree(folder)


def _hold(folder: Path) -> None:
    """Hold a folder until this process ends, however it ends; an error where another one does."""
    fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)


def make_open_folder(path: Path) -> Path:
    """Make a folder that every account may write to."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o777)
    return path


def _answer(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _slurm_version() -> str:
    return _answer("sinfo", "--version").removeprefix("slurm-wlm ").removeprefix("slurm ")


def _datalad_version() -> str:
    container = _answer("datalad", "containers-add", "--version").removeprefix("datalad_container ")
    annex = _answer("git-annex", "version", "--raw").partition("-")[0]
    datalad = _answer("datalad", "--version").removeprefix("datalad ")
    known = datalad and container and annex
    return f"{datalad} (datalad-container {container}, git-annex {annex})" if known else ""


def _start_tool(script: str, *arguments: str) -> str:
    name = arguments[0] if arguments else "install"
    if not (TOOLS / script).exists():
        raise AbsentError(f"it is not installed here, and there is no {script} to {name} it")
    LAB.mkdir(parents=True, exist_ok=True)
    done = run(TOOLS / script, *arguments, LAB=str(LAB))
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise AbsentError(f"{script} {name} failed: {words[-1][:200]}")
    return done.stdout


def _use(exports: str) -> None:
    """Take over the variables of lines such as ``export NAME=VALUE``."""
    for line in exports.splitlines():
        name, equals, value = line.removeprefix("export ").partition("=")
        if equals and line.startswith("export "):
            os.environ[name] = value
