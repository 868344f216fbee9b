"""A Ray cluster of several nodes on this machine, a sweep on it, and what may happen to both.

Long: `RANDWIRE_FAULTS=30 python -m pytest tests/sweep/test_faults.py` strikes 30 times and prints what each recovery
took.
"""

import contextlib
import json
import os
import random
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

import commands
import psutil
from ray.util import get_node_ip_address

from randwire.records import Record, Row, find_records

RAY = str(Path(sys.executable).with_name("ray"))
SOON = {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "3"}
"""Environment of a head that notices the loss of a machine in two seconds, not in fifteen."""
SHORT = {"stall_s": 12.0, "retry_delays_s": [0.5], "storage_poll_s": 0.2, "head_s": 3.0, "head_poll_s": 0.5}
"""Waits of a sweep (`Timeouts`). A hang shows by a rank that waits; on busy cores a step may take seconds."""


class Node:
    """A machine of the cluster: `ray start --block`, and what that starts."""

    def __init__(self, environment: Mapping[str, str], log: Path, *options: str, within: Sequence[str] = ()) -> None:
        """`within` is a command that runs the one that follows it, such as `unshare`."""
        command = [*within, RAY, "start", "--block", "--disable-usage-stats", *options]
        with open(log, "w") as out:
            self._process = psutil.Popen(command, env=environment, stdout=out, stderr=out)

    def processes(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return [process for process in self._process.children(recursive=True) if _alive(process)]
        return []

    def raylet(self) -> psutil.Process | None:
        return next((process for process in self.processes() if process.name() == "raylet"), None)

    def kill(self) -> None:
        """All at once, as when the power goes."""
        for process in (*self.processes(), self._process):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()

    def id(self) -> str:
        raylet = self.raylet()
        assert raylet is not None
        (node_id,) = re.findall(r"--node_id=(\w+)", " ".join(raylet.cmdline()))
        return str(node_id)


def _alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


class SmallCluster:
    """A head, which trains nothing if it has no CPU, and machines of one CPU each, all here.

    `options` are those of `ray start` for all of them, `variables` are added to their environment. `environment` is
    that of Ray's own commands; `client` that of its user, who has a token, whether the cluster wants it or not.
    """

    def __init__(
        self,
        machines: int,
        folder: Path,
        *options: str,
        variables: Mapping[str, str] | None = None,
        head_cpus: int = 0,
        token: bool = True,
    ) -> None:
        file = folder / "token"
        file.write_text(secrets.token_hex(32))
        file.chmod(0o600)
        self.client = {**os.environ, "RAY_AUTH_TOKEN_PATH": str(file)}
        self.client.pop("RAY_AUTH_MODE", None)
        self.environment = {**self.client, "RAY_AUTH_MODE": "token" if token else "disabled"}
        self.options, self.variables = options, variables or {}
        port, dashboard = free_ports(2)
        host: str = get_node_ip_address()  # type: ignore[no-untyped-call]
        self.address = f"{host}:{port}"  # Ray resolves a loopback address to this one
        self.dashboard = f"http://127.0.0.1:{dashboard}"
        self.folder = folder
        self.head = Node(
            {**self.environment, **SOON, **self.variables}, folder / "head.log", "--head", "--num-cpus", str(head_cpus),
            "--port", str(port), "--dashboard-host", "127.0.0.1", "--dashboard-port", str(dashboard), *options,
        )  # fmt: skip
        self._await_start(folder / "head.log")
        self.nodes: list[Node] = []
        for _ in range(machines):
            self.add()

    def _await_start(self, log: Path) -> None:
        """Until a machine is there; two that start at once on one computer take each other's ports."""
        deadline = time.monotonic() + 90
        while "will now block" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)

    def add(self, within: Sequence[str] = (), **variables: str) -> Node:
        """One machine more, with these variables in its environment."""
        log = self.folder / f"{len(list(self.folder.glob('*.log')))}.log"
        environment = {**self.environment, **self.variables, **variables}
        options = ("--address", self.address, "--num-cpus", "1", *self.options)
        node = Node(environment, log, *options, within=within)
        self.nodes.append(node)
        self._await_start(log)
        return node

    def lose(self, node: Node) -> None:
        self.nodes.remove(node)
        node.kill()

    def close(self) -> None:
        for node in (*self.nodes, self.head):
            node.kill()

    def node_of(self, worker: psutil.Process) -> Node:
        """The machine on which a worker runs."""
        (node,) = (node for node in self.nodes if worker in node.processes())
        return node

    def workers(self) -> list[psutil.Process]:
        """The train workers, all of them."""
        return named("RayTrainWorker", self.nodes)

    def drivers(self) -> list[psutil.Process]:
        """The drivers of settings."""
        return named("SettingDriver", [self.head])


def free_ports(count: int) -> list[int]:
    """Ports below those that the system, and so Ray, hands out."""
    ports: list[int] = []
    while len(ports) < count:
        with contextlib.suppress(OSError), socket.create_server(("", random.randrange(20_000, 30_000))) as server:
            port = server.getsockname()[1]
            if port not in ports:  # one that was just closed may be drawn again
                ports.append(port)
    return ports


def named(word: str, nodes: Sequence[Node]) -> list[psutil.Process]:
    processes = []
    for node in nodes:
        for process in node.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                if word in " ".join(process.cmdline()):
                    processes.append(process)
    return processes


T = TypeVar("T")
MAIN = Path(__file__).with_name("sweep_main.py")
TINY = {"graph.nodes": 6, "network.channels": 4, "network.head": 16,
        "runtime.study": "generators", "runtime.wandb": "disabled"}  # fmt: skip


class Sweep:
    """A sweep of the digits on a cluster, in a process of its own that may be started again."""

    def __init__(
        self,
        cluster: SmallCluster,
        output: Path,
        *,
        epochs: int,
        generators: Sequence[str] = ("ws",),
        settings: int = 1,
        seeds: int = 1,
        losses: int = 4,
        values: Mapping[str, object] | None = None,
    ) -> None:
        self.cluster, self.output, self.losses = cluster, output, losses
        # Saved several times an epoch.
        self.values = {
            **TINY,
            "train.epochs": epochs,
            "runtime.output": str(output),
            "runtime.checkpoint_minutes": 0.005,
            **(values or {}),
        }
        self.design = {"generators": generators, "settings": settings, "seeds": seeds}
        self.log = cluster.folder / f"sweep-{secrets.token_hex(4)}.log"
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def folder(self) -> Path:
        return self.output / "generators"

    def start(self) -> None:
        cluster = {"address": self.cluster.address, "workers": 2, "concurrent": 1, "losses": self.losses}
        options = {"values": self.values, "design": self.design, "cluster": cluster, "timeouts": SHORT}
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(MAIN), json.dumps(options)],
                cwd=commands.ROOT,
                env=self.cluster.client,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )  # fmt: skip

    def rows(self) -> int:
        return sum(len(record.metrics()) for record in find_records(self.folder))

    def has(self, rows: int) -> bool:
        return self.rows() >= rows

    def training(self) -> Record | None:
        """The record of the trial that is being trained."""
        begun = [record for record in find_records(self.folder) if record.summary() is None and record.metrics()]
        return begun[0] if begun else None

    def stderr(self) -> str:
        """What it has said."""
        return self.log.read_text()

    def await_that(self, condition: Callable[[], T], seconds: float = commands.PATIENCE) -> T:
        return commands.await_that(condition, self.process, self.stderr, seconds)


# What may happen. Each returns when the damage is done, or undone where time undoes it.


def worker(cluster: SmallCluster, sweep: Sweep, stream: random.Random) -> None:
    stream.choice(cluster.workers()).kill()


def node(cluster: SmallCluster, sweep: Sweep, stream: random.Random) -> None:
    """A machine that trains is lost; another one comes."""
    cluster.lose(cluster.node_of(stream.choice(cluster.workers())))
    cluster.add()


def announce(cluster: SmallCluster, node: Node, seconds: int) -> None:
    """Announce that a machine will be taken away, as clouds do with spot ones."""
    subprocess.run(
        [RAY, "drain-node", "--address", cluster.address, "--node-id", node.id(), "--reason",
         "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot", "--deadline-remaining-seconds", str(seconds)],
        env=cluster.environment,
        check=True,
        capture_output=True,
    )  # fmt: skip


def spot(cluster: SmallCluster, sweep: Sweep, stream: random.Random) -> None:
    """A machine that trains is announced to be lost, and lost; another one comes."""
    lost = cluster.node_of(stream.choice(cluster.workers()))
    announce(cluster, lost, seconds=3)
    cluster.add()
    time.sleep(3)
    cluster.lose(lost)


def driver(cluster: SmallCluster, sweep: Sweep, stream: random.Random) -> None:
    stream.choice(cluster.drivers()).kill()


def process(cluster: SmallCluster, sweep: Sweep, stream: random.Random) -> None:
    """The process of the sweep is killed, and the same command given again."""
    sweep.process.kill()
    sweep.process.wait()
    sweep.start()


def hang(cluster: SmallCluster, sweep: Sweep, stream: random.Random) -> None:
    """A rank stops: the other one waits for it in vain."""
    stream.choice(cluster.workers()).send_signal(signal.SIGSTOP)


FAULTS = (node, spot, driver, process, hang, worker)
"""The last one is struck in the tests of scarce memory and object stores too."""


@contextmanager
def small_disk(folder: Path, mebibytes: int, mode: str = "rw") -> Iterator[None]:
    """A file system of that size at `folder`. Raises CalledProcessError where that is not allowed."""
    options = f"{mode},size={mebibytes}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


class Memory:
    """Memory of one machine, less than this computer has: a control group, which may be filled by what is not Ray's."""

    BASES = (("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
             ("/sys/fs/cgroup", "memory.max", "memory.current"))  # fmt: skip

    def __init__(self, mebibytes: int) -> None:
        """Raises OSError where that is not allowed."""
        base, limit, usage = next(names for names in self.BASES if Path(names[0], "cgroup.procs").exists())
        self.limit = mebibytes << 20
        self.folder = Path(base, f"randwire-{secrets.token_hex(4)}")
        self.folder.mkdir()
        self._usage = self.folder / usage
        try:
            (self.folder / limit).write_text(str(self.limit))
        except OSError:
            self.folder.rmdir()
            raise
        # Whoever is in the group sees it as the whole of what there is, as in a container.
        enter = f'echo $$ >{self.folder}/cgroup.procs && mount --bind {self.folder} {base} && exec "$0" "$@"'
        self.within = ("unshare", "--mount", "sh", "-c", enter)
        self._ballast: subprocess.Popen[bytes] | None = None

    def used(self) -> int:
        """As Ray counts it: without the pages of files, which the kernel drops when it needs room."""
        stat = dict(line.split() for line in (self.folder / "memory.stat").read_text().splitlines())
        files = sum(int(stat.get(f"total_{name}", stat.get(name, 0))) for name in ("inactive_file", "active_file"))
        return int(self._usage.read_text()) - files

    def fill(self, share: float) -> None:
        """Another program takes what is missing to this share of the memory, and keeps it."""
        missing = max(0, int(share * self.limit) - self.used() - (8 << 20))
        hold = "import sys, time; ballast = b'x' * int(sys.argv[1]); time.sleep(3600)"
        command = [*self.within, sys.executable, "-c", hold, str(missing)]
        self._ballast = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def empty(self) -> None:
        """The other program ends."""
        if self._ballast is not None:
            self._ballast.kill()
            self._ballast.wait()
            self._ballast = None

    def close(self) -> None:
        """End all that is in it, such as agents of Ray that outlive their machine for two minutes."""
        self.empty()
        while pids := (self.folder / "cgroup.procs").read_text().split():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.1)
        self.folder.rmdir()


class Ballast:
    """Objects that fill the object stores of a cluster to the last byte, and are not given up before it is asked to."""

    PROGRAM = """
import sys, numpy, ray
from ray.exceptions import ObjectStoreFullError, OutOfDiskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

@ray.remote(num_cpus=0)
class Holder:
    def fill(self):
        self.objects = []
        for size in (4 << 20, 100_000, 1_000):
            try:
                while True:
                    reference = ray.put(numpy.zeros(size, numpy.uint8))
                    self.objects.append((reference, ray.get(reference)))  # what is being read cannot be moved to disk
            except (ObjectStoreFullError, OutOfDiskError):
                pass

    def empty(self):
        self.objects = []

ray.init(address=sys.argv[1], logging_level="ERROR", log_to_driver=False)
nodes = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in ray.nodes() if node["Alive"]]
holders = [Holder.options(scheduling_strategy=node).remote() for node in nodes]
for line in sys.stdin:
    ray.get([getattr(holder, line.strip()).remote() for holder in holders])
    print("done", flush=True)
"""

    def __init__(self, cluster: SmallCluster) -> None:
        self._log = open(cluster.folder / "ballast.txt", "w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-c", self.PROGRAM, cluster.address],
            env=cluster.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def fill(self) -> None:
        self._do("fill")

    def empty(self) -> None:
        self._do("empty")

    def _do(self, what: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer == "done\n", (self._process.poll(), Path(self._log.name).read_text())


def undisturbed(record: Record, output: Path) -> Record:
    """The same training, by torchrun and without Ray."""
    # Standalone: at a port of its own, as others may train beside it.
    command = [str(Path(RAY).with_name("torchrun")), "--standalone", "--nproc-per-node", "2", "train.py"]
    keys = ["--runtime.output", str(output), "--runtime.wandb", "disabled"]
    done = subprocess.run(
        [*command, str(record.folder / "config.yaml"), *keys], cwd=commands.ROOT, capture_output=True, text=True
    )
    (again,) = map(Record, output.glob(f"*/{record.folder.name}"))
    # Its rows are what is asked for; how torchrun ends is tested in test_train.py.
    assert again.summary() is not None, done.stderr
    return again


def strip(row: Row) -> Row:
    """What must not depend on what has happened: all but the speed."""
    return {key: value for key, value in row.items() if not re.search("second|images_per_s", key)}
