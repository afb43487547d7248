"""What a program in place of the service may do, and what it is refused."""

from __future__ import annotations

import pytest
from systemd.box.service import Probe, Service

LIMITS = pytest.mark.usefixtures("memory_is_limited")

# Each of these must fail; the result holds the error's name of each, or "done".
FORBIDDEN = """
import ctypes, errno, glob, json, mmap, os, socket

libc = ctypes.CDLL(None, use_errno=True)

def call(name, *arguments):
    if getattr(libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)

def write(path):
    with open(path, "w"):
        pass

CLONE_NEWUSER, PTRACE_ATTACH = 0x10000000, 16
cgroup = glob.glob("/sys/fs/cgroup/**/edgevision.service", recursive=True)[0]
tries = {
    "write /etc": lambda: write("/etc/edgevision/probe"),
    "write the configuration": lambda: write("/etc/edgevision/config.yaml"),
    "write /opt": lambda: write("/opt/edgevision/probe"),
    "write /usr": lambda: write("/usr/probe"),
    "write /srv": lambda: write("/srv/probe"),
    "write /run": lambda: write("/run/probe"),
    "write another state folder": lambda: write("/var/lib/probe"),
    "write /dev/shm of others": lambda: write("/dev/probe"),
    "write a cgroup": lambda: os.mkdir(cgroup + "/probe"),
    "write a kernel setting": lambda: write("/proc/sys/kernel/hostname"),
    "see /home": lambda: os.listdir("/home"),
    "see /root": lambda: os.listdir("/root"),
    "read the password's file": lambda: open("/etc/edgevision/mqtt_password"),
    "open a device that lets everyone in": lambda: open("/dev/fuse"),
    "make a device": lambda: os.mknod("/var/lib/edgevision/sda", 0o060666, os.makedev(8, 0)),
    "AF_NETLINK": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "AF_PACKET": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "AF_VSOCK": lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM),
    "raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "low port": lambda: socket.create_server(("127.0.0.1", 80)),
    "trace process 1": lambda: call("ptrace", PTRACE_ATTACH, 1, 0, 0),
    "signal process 1": lambda: os.kill(1, 0),
    "mount": lambda: call("mount", b"none", b"/var/lib/edgevision", b"tmpfs", 0, None),
    "unshare": lambda: call("unshare", CLONE_NEWUSER),
    "setuid 0": lambda: os.setuid(0),
    "chown": lambda: os.chown("/var/lib/edgevision", 0, 0),
    "chroot": lambda: os.chroot("/var/lib/edgevision"),
    "real-time": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "higher priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, -5),
    "set the clock": lambda: __import__("time").clock_settime(0, 0),
    "host name": lambda: socket.sethostname("probe"),
    "set-uid file": lambda: os.chmod("/var/lib/edgevision", 0o4755),
    "memory to write and run": lambda: mmap.mmap(-1, 4096, prot=7),
    "kernel log": lambda: call("klogctl", 3, ctypes.create_string_buffer(64), 64),
    "reboot": lambda: call("reboot", 0),
}
result = {}
for name, attempt in tries.items():
    try:
        attempt()
        result[name] = "done"
    except OSError as error:
        result[name] = errno.errorcode[error.errno]
with open("/var/lib/edgevision/result.json", "w") as file:
    json.dump(result, file)
"""

# What the service, its workers and the libraries need.
NEEDED = '''
import fcntl, json, mmap, os, resource, socket, subprocess, sys, tempfile

def camera():
    try:
        open("/dev/video0", "rb")
    except OSError as error:
        return os.strerror(error.errno)

def worker():
    """A worker as a camera's is: shared memory, a socket, and an end with its parent."""
    frames = os.memfd_create("frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(frames, 1 << 20)
    fcntl.fcntl(frames, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    shared = mmap.mmap(frames, 1 << 20)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    script = """if True:
        import ctypes, mmap, signal, socket, sys, threading, time
        assert ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0) == 0  # PR_SET_PDEATHSIG
        mmap.mmap(int(sys.argv[1]), 1 << 20)[:5] = b"frame"
        threads = [threading.Thread(target=time.sleep, args=(60,), daemon=True) for _ in range(8)]
        [each.start() for each in threads]
        socket.socket(fileno=int(sys.argv[2])).send(b"ready")
        time.sleep(60)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(frames), str(theirs.fileno())],
        pass_fds=(frames, theirs.fileno()), process_group=0)
    theirs.close()
    ours.settimeout(20)
    said = ours.recv(16).decode(), shared[:5].decode()
    child.kill()
    return [*said, child.wait(10)]

def queue():
    import sqlite3
    database = sqlite3.connect("/var/lib/edgevision/probe.db")
    database.execute("pragma journal_mode=wal")
    database.execute("create table if not exists t (x)")
    database.commit()
    return database.execute("select count(*) from t").fetchone()[0]

def privileges():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return [lines[key].strip().lstrip("0") for key in ("CapEff", "CapBnd", "CapAmb", "NoNewPrivs")]

with open("/var/lib/edgevision/result.json", "w") as file:
    json.dump({
        "camera": camera(),
        "worker": worker(),
        "queue": queue(),
        "temporary file": tempfile.TemporaryFile().write(b"x"),
        "shared memory": mmap.mmap(-1, 4096).write(b"x"),
        "/proc/stat": open("/proc/stat").read(3),
        "/proc/meminfo": open("/proc/meminfo").read(8),
        "/sys": os.path.isdir("/sys/class"),
        "configuration": open("/etc/edgevision/config.yaml").readable(),
        "credential": os.listdir(os.environ["CREDENTIALS_DIRECTORY"]),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[1],
        "root": os.getuid() == 0,
        "privileges": privileges(),
        "processes of others": [pid for pid in ("1", "2") if os.path.exists(f"/proc/{pid}")],
    }, file)
'''

GREEDY = """
import sys
sys.stdout.write("begin\\n")
sys.stdout.flush()
held = bytearray(512 << 20)
sys.stdout.write("held it\\n")
"""

GREEDY_CHILD = f"""
import json, subprocess, sys
child = subprocess.run([sys.executable, "-c", {GREEDY!r}])
with open("/var/lib/edgevision/result.json", "w") as file:
    json.dump({{"child": child.returncode}}, file)
"""

THREADS = """
import json, threading, time
made = 0
try:
    while made < 2000:
        threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
        made += 1
except RuntimeError:
    pass
with open("/var/lib/edgevision/result.json", "w") as file:
    json.dump({"made": made}, file)
import os
os._exit(0)
"""

CHATTERBOX = """
for number in range(20000):
    print("the same fault again", number)
"""


@pytest.fixture
def memory_is_limited(service: Service) -> None:
    """Skip where this machine hands no limits on to a box."""
    if (
        service.box.run(
            "systemctl", "show", "--value", "-p", "MemoryCurrent", "init.scope"
        ).stdout.strip()
        == "[not set]"
    ):
        pytest.skip("this machine hands no memory controller on to a box")


def test_everything_that_the_service_does_not_need_is_refused(probe: Probe) -> None:
    refusals = {"EPERM", "EACCES", "EROFS", "EAFNOSUPPORT"}
    result = probe.run(FORBIDDEN)
    assert len(result) > 30
    assert {name: end for name, end in result.items() if end not in refusals} == {}


def test_everything_that_the_service_needs_is_granted(probe: Probe) -> None:
    assert probe.run(NEEDED) == {
        "camera": "No such device or address",  # and not: Operation not permitted
        "worker": ["ready", "frame", -9],
        "queue": 0,
        "temporary file": 1,
        "shared memory": 1,
        "/proc/stat": "cpu",
        "/proc/meminfo": "MemTotal",
        "/sys": True,
        "configuration": True,
        "credential": ["mqtt_password"],
        "core": 0,
        "root": False,
        "privileges": ["", "", "", "1"],
        "processes of others": [],
    }


@LIMITS
def test_a_service_that_takes_more_than_memorymax_is_killed(probe: Probe, service: Service) -> None:
    probe.start(GREEDY, settings="MemoryMax=100M\nMemorySwapMax=0")
    assert service.show("Result") in {"oom-kill", "signal"}
    assert "begin" in service.journal()
    assert "held it" not in service.journal()


@LIMITS
def test_a_worker_that_takes_too_much_memory_does_not_take_the_service_with_it(
    probe: Probe,
) -> None:
    assert probe.run(GREEDY_CHILD, settings="MemoryMax=100M\nMemorySwapMax=0") == {"child": -9}


@LIMITS
def test_a_service_that_starts_threads_for_ever_gets_1024_tasks(probe: Probe) -> None:
    assert 900 < probe.run(THREADS)["made"] < 1024


def test_a_service_that_logs_in_a_loop_does_not_wear_the_sd_card(
    probe: Probe, service: Service
) -> None:
    probe.start(CHATTERBOX)
    # Up to six times LogRateLimitBurst where there is room on the disk.
    assert 0 < service.journal().count("the same fault again") <= 6000
    service.systemctl("restart", "systemd-journald")  # or the next test could not log


def test_the_running_unit_is_exposed_at_most_1_5_out_of_10(service: Service) -> None:
    service.systemctl("start", "edgevision")
    command = ["systemd-analyze", "security", "--threshold=15", "--no-pager", "edgevision"]
    done = service.box.run(*command, check=False)
    assert done.returncode == 0, done.stdout
