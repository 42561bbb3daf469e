"""A SLURM of one node on this machine: ordinary processes in a scratch directory.

It needs the programs of the Debian packages ``slurm-wlm`` and ``munge`` and nothing else: no
root, no services, no cgroups, no accounting database.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "squeue", "sinfo", "scancel")

CONFIG = """\
ClusterName=contimg
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={work}/munge/socket
CredType=cred/munge
SlurmctldPort={ctld_port}
SlurmdPort={d_port}
SlurmctldPidFile={work}/slurmctld.pid
SlurmdPidFile={work}/slurmd.pid
SlurmctldLogFile={work}/log/slurmctld.log
SlurmdLogFile={work}/log/slurmd.log
StateSaveLocation={work}/state
SlurmdSpoolDir={work}/spool
# believe CPUs and RealMemory of the node line, whatever the machine has
SlurmdParameters=config_overrides
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
KillWait=2
# squeue must show finished jobs until Snakemake has asked for them
MinJobAge=300
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=8000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
# what this little SLURM lacks (accounting), and no waiting where nothing can be late
FLAGS = (
    *("--slurm-status-command", "squeue", "--slurm-no-account"),
    *("--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5"),
)


def programs_path() -> str:
    """Where its programs are, whoever asks."""
    return os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])


def missing() -> list[str]:
    """Its programs that are not installed here."""
    return [name for name in PROGRAMS if shutil.which(name, path=programs_path()) is None]


@contextlib.contextmanager
def running() -> Iterator[dict[str, str]]:
    """The environment in which sbatch and its kin talk to a running one-node SLURM."""
    # not pytest's tmp_path: the path of munge's socket may have 107 characters at most
    work = Path(tempfile.mkdtemp(prefix="contimg-slurm-"))
    work.chmod(0o755)
    try:
        with contextlib.ExitStack() as stack:
            yield _start(work, programs_path(), stack)
    finally:
        shutil.rmtree(work)


def _start(work: Path, path: str, stack: contextlib.ExitStack) -> dict[str, str]:
    for name in ("munge", "state", "spool", "log", "bin"):
        (work / name).mkdir(mode=0o755)
    host = socket.gethostname().split(".")[0]
    ctld_port, d_port = _free_ports(2)
    config = work / "slurm.conf"
    config.write_text(
        CONFIG.format(
            host=host, user=getpass.getuser(), work=work, ctld_port=ctld_port, d_port=d_port
        )
    )
    key = work / "munge" / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    # Snakemake's step inside a job drops SLURM_CONF before it calls srun
    srun = work / "bin" / "srun"
    real = shutil.which("srun", path=path)
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={config} exec {real} "$@"\n')
    srun.chmod(0o755)

    env = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    python = str(Path(sys.executable).parent)
    env |= {"PATH": os.pathsep.join([str(work / "bin"), python, path]), "SLURM_CONF": str(config)}
    munge = [f"--{name}={work}/munge/{name}" for name in ("socket", "pid-file", "log-file")]
    munge += [f"--key-file={key}", f"--seed-file={work}/munge/seed", "--num-threads=2"]
    _daemon(["munged", "--foreground", *munge], work, env, stack)
    _wait(lambda: (work / "munge" / "socket").exists(), work)
    _daemon(["slurmctld", "-D", "-c", "-f", str(config)], work, env, stack)
    _daemon(["slurmd", "-D", "-c", "-f", str(config), "-N", host], work, env, stack)
    _wait(lambda: _output(["sinfo", "-h", "-o", "%T"], env) == "idle", work)
    stack.callback(_output, ["scancel", "--user", getpass.getuser()], env)
    return env


def _daemon(
    command: list[str], work: Path, env: dict[str, str], stack: contextlib.ExitStack
) -> None:
    """Start a daemon in the foreground of its own process group; `stack` ends it."""
    program = shutil.which(command[0], path=env["PATH"])
    with (work / "log" / f"{command[0]}.out").open("w") as log:
        process = subprocess.Popen(
            [str(program), *command[1:]],
            env=env,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def stop() -> None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    stack.callback(stop)


def _output(command: list[str], env: dict[str, str]) -> str:
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30)
    return result.stdout.strip()


def _wait(ready: Callable[[], bool], work: Path, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            logs = (log for log in sorted(work.glob("*/*")) if log.suffix in {".log", ".out"})
            text = "\n".join(f"--- {log.name}\n{log.read_text()[-1500:]}" for log in logs)
            raise TimeoutError(f"SLURM did not start within {seconds:.0f} s\n{text}")
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
