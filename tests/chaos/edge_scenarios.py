"""What is done to one worker on Qdrant Edge: kills, a broker that falls, a full disk, an old folder put back."""

import os
import shutil
import time
from pathlib import Path

from chaos_worker import ChaosWorker
from trial import Trial

from consumers.exit_codes import ExitCode

SHARE_OF_SETTLED_KILLS = 0.8
UP_MAX_S = 1.2
RESTART_MAX_S = 2.5
DISK_MARGIN_MAX_BYTES = 400 * 2**20


def kills(trial: Trial) -> ChaosWorker:
    """Kill -9 at random moments: mostly of a worker at work, now and then of one that starts."""
    worker, next_ = trial.worker(), trial.worker()
    while True:
        began_s = time.time()
        worker.start()
        next_.load()
        if not trial.goes_on():
            return worker
        if trial.dice.random() < SHARE_OF_SETTLED_KILLS:
            trial.await_list(began_s, worker)
            trial.wait(0, UP_MAX_S)
        else:
            trial.wait(0, RESTART_MAX_S)
        trial.kill(worker)
        worker, next_ = next_, worker


def pauses(trial: Trial) -> ChaosWorker:
    """SIGSTOP for about as long as a session, then SIGCONT: sometimes the group has given the worker up, or it dies."""
    worker = trial.worker().start()
    trial.await_list(0, worker)
    session_s = trial.deployment.settings.topics.session_timeout_ms / 1000
    while trial.goes_on():
        trial.wait(0.2, 1.5)
        if trial.note_end(worker):
            worker.start()
            continue
        worker.pause()
        trial.fault("pause")
        trial.wait(0.5 * session_s, 2.5 * session_s)
        worker.resume()
        began_s = time.time()
        if trial.dice.random() < 0.2:
            trial.kill(worker)
            worker.start()
        trial.await_list(began_s, worker)
    return worker


def broker(trial: Trial) -> ChaosWorker:
    """The broker is killed and started again; sometimes the worker dies with it."""
    local = trial.ground.broker
    assert local is not None
    worker = trial.worker().start()
    trial.await_list(0, worker)
    while trial.goes_on():
        trial.wait(0.2, 3.0)
        local.kill()
        trial.fault("broker kill")
        trial.wait(0, 4.0)
        dies = trial.dice.random() < 0.3
        if dies:
            trial.kill(worker)
        local.start()
        began_s = time.time()
        if dies or trial.note_end(worker):
            worker.start()
        trial.await_list(began_s, worker)
    return worker


def disk(trial: Trial) -> ChaosWorker:
    """The disk fills up to its reserve, so the worker ends and says why; there is room again, and it goes on."""
    trial.expected_ends.add(ExitCode.DISK_FULL)
    ballast = trial.folder / "ballast"
    while True:
        # Anew for every start, because others use this disk as well.
        free = shutil.disk_usage(trial.folder).free
        margin = min(DISK_MARGIN_MAX_BYTES, free // 4)
        worker = trial.worker(qdrant__edge_disk_reserve_bytes=str(free - margin))
        began_s = time.time()
        worker.start()
        if not trial.goes_on():
            return worker
        trial.await_list(began_s, worker)
        trial.wait(0.2, 2.0)
        _fill(trial, ballast, 2 * margin, worker)


def _fill(trial: Trial, ballast: Path, size_bytes: int, worker: ChaosWorker) -> None:
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size_bytes)
    trial.fault("disk filled")
    code = worker.await_exit()
    ballast.unlink()
    trial.note_end(worker)
    if code != ExitCode.DISK_FULL:
        trial.record.problems.append(f"on a disk filled up to its reserve the worker ended with {code}")


def old_folder(trial: Trial) -> ChaosWorker:
    """A copy of the Edge folder, taken from a stopped or killed worker, is put back later, while none runs."""
    worker, copy = trial.worker(), trial.folder / "copy"
    folder = trial.deployment.settings.edge_folder
    while True:
        began_s = time.time()
        worker.start()
        if not trial.goes_on():
            return worker
        trial.await_list(began_s, worker)
        trial.wait(0.2, 2.0)
        _end(trial, worker)
        if copy.exists() and trial.dice.random() < 0.7:
            shutil.rmtree(folder)
            copy.rename(folder)
            trial.fault("old folder put back")
        elif not copy.exists():
            shutil.copytree(folder, copy)


def _end(trial: Trial, worker: ChaosWorker) -> None:
    if trial.note_end(worker):
        return
    if trial.dice.random() < 0.5:
        trial.kill(worker)
    else:
        trial.stop(worker)
