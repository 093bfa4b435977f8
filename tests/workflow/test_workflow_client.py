from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from workflow_jobs import make_job

from bids_film.domain.errors import WorkerDiedError
from bids_film.workflow.client import WorkerClient
from bids_film.workflow.job import Result
from bids_film.workflow.nursery import Nursery

ROOT = Path(__file__).parents[2]
WORKER = """
import os, signal, sys, time
sys.path.insert(0, {root!r})
from bids_film.workflow import nursery, worker
from bids_film.workflow.job import Result, ScanOutcome

def handle(job):
    kind = job.entities["acq"]
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "exit":
        print("the last words", file=sys.stderr, flush=True)
        os._exit(7)
    if kind == "sleep":
        time.sleep(60)
    if kind == "noise":
        print("a library talks")
        os.system("echo a program talks")
    process = str(os.getpid())
    return ScanOutcome(result=Result.DONE, entities=job.entities, input=kind, message=process)

worker.attempt_scan = handle
nursery.tend()
"""


COMMAND = (sys.executable, "-c", WORKER.format(root=str(ROOT)))


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery(command=COMMAND)
    yield nursery
    nursery.close()


@pytest.fixture
def client(tmp_path: Path, nursery: Nursery) -> Iterator[WorkerClient]:
    with WorkerClient(nursery, log_file=tmp_path / "worker.log") as client:
        yield client


def test_a_worker_stays_for_the_next_job(client: WorkerClient) -> None:
    first, second = client.run(make_job(acq="a")), client.run(make_job(acq="b"))
    assert (first.input, second.input) == ("a", "b")
    assert first.message == second.message
    assert first.result is Result.DONE


def test_a_killed_worker_fails_its_job_and_the_next_one_goes_on(client: WorkerClient) -> None:
    before = client.run(make_job(acq="a"))
    with pytest.raises(WorkerDiedError, match="signal 9: probably out of memory") as caught:
        client.run(make_job(acq="kill"))
    assert "--nprocs" in caught.value.hint
    after = client.run(make_job(acq="b"))
    assert after.input == "b"
    assert after.message != before.message


def test_a_worker_that_was_killed_while_idle_is_replaced(client: WorkerClient) -> None:
    client.run(make_job(acq="a"))
    process_id = client.process_id
    assert process_id is not None
    os.kill(process_id, signal.SIGKILL)
    while client.process_id is not None:
        time.sleep(0.01)
    assert client.run(make_job(acq="b")).input == "b"


def test_an_answer_that_was_not_waited_for_is_never_given_to_the_next_job(
    client: WorkerClient,
) -> None:
    client.run(make_job(acq="a"))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            client.run(make_job(acq="sleep"))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert client.run(make_job(acq="b")).input == "b"


def test_a_worker_that_ends_by_itself_is_quoted(client: WorkerClient) -> None:
    with pytest.raises(WorkerDiedError, match=r"exit code 7.*the last words"):
        client.run(make_job(acq="exit"))


def test_what_libraries_print_does_not_disturb_the_replies(
    client: WorkerClient, tmp_path: Path
) -> None:
    assert client.run(make_job(acq="noise")).input == "noise"
    log = (tmp_path / "worker.log").read_text(encoding="utf-8")
    assert "a program talks" in log


def test_closing_ends_the_process(client: WorkerClient) -> None:
    client.run(make_job(acq="a"))
    process_id = client.process_id
    client.close()
    assert process_id is not None
    assert not Path(f"/proc/{process_id}").exists()


def test_a_worker_ends_with_a_client_that_is_killed(tmp_path: Path) -> None:
    parent = f"""
import os, sys
sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]
from bids_film.workflow.client import WorkerClient
from bids_film.workflow.nursery import Nursery
from workflow_jobs import make_job
client = WorkerClient(Nursery(command={COMMAND!r}))
client.run(make_job(acq="a"))
print(client.process_id, flush=True)
client.run(make_job(acq="sleep"))
"""
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        tree = [worker, find_parent(worker), find_parent(find_parent(worker))]
        time.sleep(0.2)
        process.kill()
    for member in tree:
        wait_until_gone(member)


def test_a_worker_of_a_killed_nursery_goes_on_and_the_next_one_has_another(
    tmp_path: Path,
) -> None:
    nursery = Nursery(command=COMMAND)
    with WorkerClient(nursery) as first, WorkerClient(nursery) as second:
        before = first.run(make_job(acq="a"))
        killed = find_parent(find_parent(int(before.message)))
        os.kill(killed, signal.SIGKILL)
        assert first.run(make_job(acq="b")).message == before.message
        after = second.run(make_job(acq="a"))
        assert find_parent(find_parent(int(after.message))) != killed
    nursery.close()


def test_a_worker_without_its_keeper_is_replaced(client: WorkerClient) -> None:
    worker = int(client.run(make_job(acq="a")).message)
    os.kill(find_parent(worker), signal.SIGKILL)
    while client.process_id is not None:
        time.sleep(0.01)
    assert client.run(make_job(acq="b")).input == "b"
    wait_until_gone(worker)


def test_a_nursery_that_cannot_start_costs_the_job_alone(tmp_path: Path) -> None:
    broken = Nursery(command=[sys.executable, "-c", "import no_such_library"])
    with WorkerClient(broken, log_file=tmp_path / "worker.log") as client:
        for _ in range(2):
            with pytest.raises(WorkerDiedError, match=r"no process could.*no_such_library"):
                client.run(make_job(acq="a"))
    broken.close()


def test_closing_a_nursery_leaves_no_process(tmp_path: Path) -> None:
    nursery = Nursery(command=COMMAND)
    with WorkerClient(nursery) as client:
        worker = int(client.run(make_job(acq="a")).message)
        tree = [worker, find_parent(worker), find_parent(find_parent(worker))]
    nursery.close()
    for member in tree:
        wait_until_gone(member)


def read_status(process_id: int) -> list[str]:
    """State, parent and what else the kernel says of a process."""
    status = Path(f"/proc/{process_id}/stat").read_text(encoding="ascii")
    return status.rpartition(")")[2].split()


def find_parent(process_id: int) -> int:
    return int(read_status(process_id)[1])


def wait_until_gone(process_id: int) -> None:
    deadline = time.monotonic() + 10
    while Path(f"/proc/{process_id}").exists() and not _is_zombie(process_id):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_zombie(process_id: int) -> bool:
    try:
        return read_status(process_id)[0] == "Z"
    except OSError:
        return True
