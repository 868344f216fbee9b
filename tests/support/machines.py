"""A laptop, a head and a worker on this machine: each with a network, processes, a home and a /tmp of its own.

Run by `Machines` as the first process of new namespaces, this file is the cable between them. Nothing outside is seen
by, or sees, what runs inside: `ray stop` there ends nothing here. All ends with its first process.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import psutil

NAMES = ("laptop", "head", "worker")
ADDRESSES = {name: f"10.77.0.{number}" for number, name in enumerate(NAMES, 1)}
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
MTU = 60000  # few large frames: each of them passes through Python
ROOT = Path(__file__).parents[2]
INSIDE = Path("/srv")
"""Where the folder of the machines is, seen from inside."""

# What each machine does before it is used: `name`, `address` and `home` are set, `python` is the environment of Python,
# which may be below /tmp, and `cache` the folder that all have as their cache.
BOOT = f"""
set -eu
hostname "$name"
mkdir -p "$home/.cache/randwire" {INSIDE}/$name/tmp
mount --bind "$cache" "$home/.cache/randwire"
mount -t tmpfs none /run && mkdir -p /run/sshd /run/lock /run/python
mount --bind "$python" /run/python
mount --bind {INSIDE}/$name/tmp /tmp
mkdir -p "$python" && mount --bind /run/python "$python"
mkdir {INSIDE}/$name/etc && cd {INSIDE}/$name/etc
printf 'root:x:0:0:root:%s:/bin/bash\\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\\n' "$home" >passwd
printf 'root:*:19000:0:99999:7:::\\nsshd:*:19000:0:99999:7:::\\n' >shadow
printf '%s\\n' "$hosts" >hosts
: >resolv.conf
# Laid over the folder: mounted one by one, they would vanish as soon as somebody outside writes a new passwd.
mount -t overlay none -o lowerdir={INSIDE}/$name/etc:/etc /etc
cd /
ip link set lo up
until ip link show "tap-$name" >/dev/null 2>&1; do sleep 0.02; done
ip link set "tap-$name" name eth0 mtu {MTU} up
ip addr add "$address/24" dev eth0
ip route add default dev eth0
"""
SERVE = f"""
cat >{INSIDE}/$name/sshd_config <<END
HostKey {INSIDE}/hostkey
PidFile none
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
END
/usr/sbin/sshd -f {INSIDE}/$name/sshd_config -E {INSIDE}/$name/sshd.log
touch {INSIDE}/$name/ready
while :; do sleep 3600 & wait $! || :; done
"""


def missing() -> str | None:
    """What the machines need and this one does not have, in words; None if all is there."""
    if sys.platform != "linux" or os.getuid() != 0:
        return "namespaces need root on Linux"
    for command in ("unshare", "nsenter", "ip", "mount", "bash", "make"):
        if shutil.which(command) is None:
            return f"no command {command}"
    if not Path("/dev/net/tun").exists():
        return "no /dev/net/tun"
    if not INSIDE.is_dir():
        return f"no folder {INSIDE}"
    probe = "mount -t tmpfs none /run && mkdir /run/a && mount -t overlay none -o lowerdir=/run/a:/usr /usr"
    done = subprocess.run(["unshare", "-n", "-p", "-m", "-u", "-f", "--mount-proc", "sh", "-c", probe], text=True,
                          capture_output=True)  # fmt: skip
    return None if done.returncode == 0 else f"namespaces or overlays are not permitted: {done.stderr.strip()}"


def copy_checkout(folder: Path) -> None:
    """What `ray up` copies to a machine: neither what git ignores, nor git's own folder."""
    listed = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (source := ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)


class Machines:
    """The machines; `folder` is INSIDE for them, and holds the unpacked ssh server in `ssh`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in NAMES:
            (folder / name / "home").mkdir(parents=True, exist_ok=True)
        self.log = open(folder / "machines.log", "w")  # noqa: SIM115
        self.process = subprocess.Popen(
            ["unshare", "-n", "-p", "-m", "-u", "-f", "--kill-child", "--mount-proc", sys.executable, __file__,
             str(folder)], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
        )  # fmt: skip
        deadline = time.monotonic() + 30
        while not all((folder / name / "ready").exists() for name in NAMES):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise RuntimeError((folder / "machines.log").read_text())
            time.sleep(0.05)
        (first,) = psutil.Process(self.process.pid).children()
        self.first = first.pid

    def laptop(self, command: str, **environment: str) -> list[str]:
        """The command line that runs a shell command on the laptop, in its copy of the repository."""
        home = INSIDE / "laptop" / "home"
        defaults = {"HOME": str(home), "PATH": f"{sys.prefix}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        words = [f"{name}={value}" for name, value in {**defaults, **environment}.items()]
        enter = ["nsenter", "-t", str(self.first), "-m", "-n", "-p", "-u"]
        return [*enter, "env", "-i", *words, "bash", "-c", f"cd {INSIDE}/laptop/randwire && {command}"]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()


def tap(name: str) -> int:
    """A network interface of this namespace, whose frames are read from and written to the file."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", f"tap-{name}".encode(), IFF_TAP | IFF_NO_PI))
    return descriptor


def cable(taps: dict[str, int]) -> None:
    """Pass frames on, for ever: to who has the address, or to all others."""
    selector = selectors.DefaultSelector()
    for name, descriptor in taps.items():
        os.set_blocking(descriptor, False)
        selector.register(descriptor, selectors.EVENT_READ, name)
    taps_by_address: dict[bytes, int] = {}
    while True:
        for key, _ in selector.select():
            try:
                frame = os.read(key.fd, MTU + 18)
            except OSError:
                continue
            taps_by_address[frame[6:12]] = key.fd
            owner = taps_by_address.get(frame[:6])
            for other in [owner] if owner is not None else [fd for fd in taps.values() if fd != key.fd]:
                try:
                    os.write(other, frame)
                except OSError:  # not up yet: as a cable that is not plugged in
                    continue


def main(folder: Path) -> None:
    def reap(*_: object) -> None:
        while True:
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    return
            except ChildProcessError:
                return

    def do(*words: str) -> None:
        subprocess.run(words, check=True)

    do("mount", "--bind", str(folder), str(INSIDE))
    do("mount", "-t", "overlay", "none", "-o", f"lowerdir={INSIDE}/ssh/usr:/usr", "/usr")
    do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{INSIDE}/hostkey")
    taps = {name: tap(name) for name in NAMES}
    own = Path("/proc/self/ns/net").readlink()
    hosts = "\n".join(["127.0.0.1 localhost", *(f"{address} {name}" for name, address in ADDRESSES.items())])
    started = []
    for name in reversed(NAMES):  # this namespace is the last to change its mounts: the others begin with them
        words = {"name": name, "address": ADDRESSES[name], "home": f"{INSIDE}/{name}/home", "python": sys.prefix}
        environment = {**os.environ, **words, "cache": os.environ["RANDWIRE_CACHE"], "hosts": hosts}
        if name == "laptop":  # this namespace
            ready = f"touch {INSIDE}/{name}/ready"
            started.append(subprocess.Popen(["bash", "-c", BOOT + ready], env=environment))
            continue
        apart = ["unshare", "-n", "-p", "-m", "-u", "-f", "--mount-proc"]
        child = subprocess.Popen([*apart, "bash", "-c", BOOT + SERVE], env=environment)
        started.append(child)
        while Path(f"/proc/{child.pid}/ns/net").readlink() == own:
            time.sleep(0.01)
        do("ip", "link", "set", f"tap-{name}", "netns", str(child.pid))
    signal.signal(signal.SIGCHLD, reap)
    reap()
    cable(taps)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
