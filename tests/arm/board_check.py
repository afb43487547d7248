"""Runs on the emulated board: listens to the broker, asks systemd, stops the service.

Each line that begins with `edgevision-check` is a kind and a value in JSON. Standard library only.
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time

# What is in many frames of the bundled recording, and how many frames are enough.
LABELS = {"Cat", "Coffee cup", "Person"}
FRAMES = 8
DEADLINE_S = 420
PROPERTIES = "ActiveState,SubState,Type,NRestarts,Result,StatusText,MainPID,MemoryMax,WatchdogUSec"


def say(kind: str, value: object) -> None:
    """Tell the host."""
    print("edgevision-check", kind, json.dumps(value), flush=True)  # noqa: T201


def ask(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def service() -> dict[str, str]:
    """Return what systemd knows about the service."""
    lines = ask("systemctl", "show", "edgevision", f"--property={PROPERTIES}").splitlines()
    return dict(line.split("=", 1) for line in lines)


def listen(messages: queue.SimpleQueue[tuple[str, dict[str, object]]], left_s: float) -> None:
    """Subscribe as soon as there is a broker; put every message into the queue."""
    end_s = time.monotonic() + left_s
    broker = ("-h", "127.0.0.1", "-W", str(int(left_s)))
    command = ("mosquitto_sub", *broker, "-v", "-q", "1", "-t", "edgevision/#")
    while time.monotonic() < end_s:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as subscriber:
            for line in subscriber.stdout or ():
                topic, _, payload = line.partition(" ")
                messages.put((topic, json.loads(payload)))
        time.sleep(0.5)


def main() -> None:
    """Wait for enough detections, stop the service, wait for what it says last."""
    end_s = time.monotonic() + DEADLINE_S
    messages: queue.SimpleQueue[tuple[str, dict[str, object]]] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(messages, DEADLINE_S), daemon=True).start()
    frames, missing, stopped = 0, set(LABELS), False
    while time.monotonic() < end_s:
        try:
            topic, message = messages.get(timeout=1)
        except queue.Empty:
            continue
        say("message", [topic, message])
        if topic.endswith("/detections"):
            frames += 1
            missing -= {found["label"] for found in message["detections"]}  # type: ignore[attr-defined]
        if frames >= FRAMES and not missing and not stopped:
            say("running", service())
            begin_s = time.monotonic()
            ask("systemctl", "stop", "edgevision")
            say("stop_s", time.monotonic() - begin_s)
            say("stopped", service())
            stopped = True
        if topic == "edgevision/board/status" and message["status"] == "offline":
            break
    say("boot_s", float(ask("cat", "/proc/uptime").split()[0]))
    for line in ask("journalctl", "--output=cat", "--unit=edgevision").splitlines():
        say("journal", line)
    say("failed", ask("systemctl", "--failed", "--plain", "--no-legend").split())


if __name__ == "__main__":
    main()
