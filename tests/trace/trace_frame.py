"""Which modules and functions one frame enters, and how its detections reach the socket.

    python tests/trace/trace_frame.py [--max-modules N] [--max-hops N]

Runs the real daemon in this process: a broker on loopback, ONNX Runtime, and one camera that reads
a recording, with a zone, a line, a mask, motion gating and regions. In the recording, which is
composed here of pictures of the bundled one, a person walks to the right and back, and a cat
appears. By frame 9 the daemon has warmed up, and in this one frame the person enters the zone and
crosses the line and the cat is confirmed as a new object. The figures are those of frame 9; the
table above them has those of the frames before it, most of them without an event.

Calls are recorded by a profile function in every thread that the daemon starts. It holds each
frame at its capture until the detections of the frame before are written, so that no two are on
their way together, however slow the machine. What counts:

- A frame's path starts where the thread of `CameraReader` constructs the `Frame`: its picture has
  been decoded. It ends where its detections message is given to the socket.
- It leads over threads. The last of them calls `publish` of paho with the message. Going back from
  there, each thread took the frame out of a queue, condition or event into which the thread before
  had put it. On each thread the way lasts from taking the frame to passing it on.
- Functions: those of edgevision/ that are called on these threads during that time, and those
  called before it through which the frame is handed on: the loop of a thread, and what waited.
  Properties count, and so do methods that `dataclass` generates (marked *); comprehensions,
  generator expressions and the bodies of modules do not.
- Modules: those with at least one such function in their source. A module of which the frame only
  uses generated methods is listed without a number.
- Hops: from the function that called `Backend.run` last to the one that calls `publish` of paho.
  The path is the shortest path in the call tree of each thread, so what returns before the message
  moves on is no part of it: decoding boxes, tracking objects, encoding. Each step to another
  module, by a call, a return or a queue, is one hop.

Left out, though it runs in the meantime: the main thread (status, metrics, watchdog, retained
state, pictures), the outbox's thread (delivery of events), what a thread does after it has passed
the frame on (counting it as published, waiting for the next one), and paho.

By this definition the code had 61 modules, 242 functions and 9 hops when it was split into 206
modules, and 35, 241 and 7 after these had been merged into 129.

Exit status: 1 if a figure is above its limit, 2 if the frame's path cannot be followed.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from pathlib import Path
from queue import SimpleQueue
from types import CodeType, FrameType
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.cli.broker import loopback_broker
from edgevision.config.settings import DEMO_RECORDING, Config
from edgevision.daemon.daemon import Daemon
from edgevision.errors import EdgevisionError

PACKAGE = str(Path(sys.modules["edgevision"].__file__ or "").parent)
TRACED = 9
FRAMES = TRACED + 3  # so that the recording does not end while the traced frame is on its way
FPS = 4.0
TIMEOUT_S = 30.0
# How long a frame is held for the one before, whose message may never be written.
HOLD_S = 2.0

# Between the person's feet in frame 8 and in frame 9, as a fraction of the frame's width.
BORDER = 0.55
SCENE = {
    "motion": {},
    "regions": {},
    "zones": {"left": {"polygon": [[0, 0], [BORDER, 0], [BORDER, 1], [0, 1]]}},
    "lines": {"middle": {"points": [[BORDER, 0], [BORDER, 1]]}},
    "masks": {"corner": {"polygon": [[0.9, 0], [1, 0], [1, 0.1]]}},
}

# How the standard library passes things from thread to thread.
WAITING = frozenset({"queue", "threading"})
PUTS = frozenset({"put", "notify", "notify_all", "set"})
TAKES = frozenset({"get", "wait", "wait_for"})
# Where paho's own way to the socket starts.
PAHO_STARTS = frozenset({"_loop", "publish"})
NOT_COUNTED = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>", "<module>"})

# From the outermost call to the innermost. References are held, so that a frame object of the
# interpreter can be told from a later one at the same address.
Stack = tuple[FrameType, ...]
Kind = Literal["captured", "called", "put", "took", "network", "publish", "socket"]


class LostError(Exception):
    """The path of the frame cannot be followed."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of edgevision/; `generated`: written by `dataclass`, not in the source."""

    module: str
    name: str
    generated: bool

    def __str__(self) -> str:
        return self.name + "*" * self.generated


EVENTS = frozenset(
    Function("edgevision.events", f"{kind}Event.__init__", generated=True)
    for kind in ("Object", "Zone", "Line")
)


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened on a thread.

    Attributes:
        thread: its name.
        kind: what happened.
        stack: where the thread was; empty for `called`.
        function: what was called.
        channel: the identity of the queue, condition or event.
    """

    thread: str
    kind: Kind
    stack: Stack = ()
    function: Function | None = None
    channel: int = 0


class Recorder:
    """A profile function that notes what happens while a frame is on its way.

    Attributes:
        frames: the notes of each frame whose detections message was written, by frame number.
        done: set once the traced frame is among them.
    """

    def __init__(self) -> None:
        self.frames: dict[int, list[Note]] = {}
        self.done = threading.Event()
        self._functions: dict[CodeType, Function | None] = {}
        self._number: int | None = None
        self._notes: list[Note] = []
        self._written = threading.Event()
        self._written.set()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            self._called(frame)
        elif self._number is None:
            return
        elif event == "return":
            self._returned(frame)
        elif isinstance(getattr(argument, "__self__", None), SimpleQueue):
            self._simple_queue(frame, event, argument)
        elif event == "c_call" and frame.f_code.co_name == "_sock_send":
            self._sent(frame)

    def function_of(self, frame: FrameType) -> Function | None:
        """Return the function that a frame object runs; None if it does not count."""
        code = frame.f_code
        if code not in self._functions:
            self._functions[code] = _described(frame)
        return self._functions[code]

    def functions_of(self, stack: Stack) -> list[Function]:
        """Return the functions of a stack that count, in its order."""
        return [each for frame in stack if (each := self.function_of(frame)) is not None]

    def _called(self, frame: FrameType) -> None:
        name = frame.f_code.co_name
        function = self.function_of(frame)
        if function is not None:
            if (function.module, function.name) == ("edgevision.frames", "Frame.__init__"):
                self._captured(frame)
            if self._number is not None:
                self._note("called", function=function)
        elif self._number is None:
            return
        elif name in PUTS and frame.f_globals.get("__name__") in WAITING:
            self._note("put", _stack(frame), channel=id(frame.f_locals["self"]))
        elif (
            name == "publish"
            and frame.f_globals.get("__name__") == "paho.mqtt.client"
            and frame.f_locals["topic"].endswith("/detections")
        ):
            self._note("publish", _stack(frame))

    def _captured(self, frame: FrameType) -> None:
        self._written.wait(HOLD_S)
        self._written.clear()
        self._number, self._notes = frame.f_locals["sequence"], []
        self._note("captured", _stack(frame.f_back))

    def _returned(self, frame: FrameType) -> None:
        code = frame.f_code
        if code.co_name in TAKES and frame.f_globals.get("__name__") in WAITING:
            self._note("took", _stack(frame), channel=id(frame.f_locals["self"]))
        elif code.co_qualname.endswith("Backend.run"):
            self._note("network", _stack(frame.f_back))

    def _simple_queue(self, frame: FrameType, event: str, method: Any) -> None:
        if event == "c_call" and method.__name__ in PUTS:
            self._note("put", _stack(frame), channel=id(method.__self__))
        elif event == "c_return" and method.__name__ in TAKES:
            self._note("took", _stack(frame), channel=id(method.__self__))

    def _sent(self, frame: FrameType) -> None:
        packet, number = bytes(frame.f_locals["buf"]), self._number
        if (
            number is not None
            and b"/detections" in packet
            and re.search(rb'"frame": ?%d\b' % number, packet)
        ):
            self._note("socket", _stack(frame))
            self._number = None
            self.frames[number] = self._notes
            if number == TRACED:
                self.done.set()
            self._written.set()

    def _note(
        self, kind: Kind, stack: Stack = (), *, function: Function | None = None, channel: int = 0
    ) -> None:
        thread = threading.current_thread().name
        self._notes.append(Note(thread, kind, stack, function, channel))


def _stack(frame: FrameType | None) -> Stack:
    found = []
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return tuple(reversed(found))


def _described(frame: FrameType) -> Function | None:
    code, module = frame.f_code, frame.f_globals.get("__name__", "")
    if code.co_filename == "<string>" and module.startswith("edgevision."):
        owner = type(next(iter(frame.f_locals.values()), None)).__qualname__
        return Function(module, f"{owner}.{code.co_name}", generated=True)
    if not code.co_filename.startswith(PACKAGE) or code.co_name in NOT_COUNTED:
        return None
    return Function(module, code.co_qualname, generated=False)


@dataclass(frozen=True, slots=True)
class Leg:
    """The part of a frame's path on one thread.

    Attributes:
        thread: its name.
        first, last: the notes with which it starts and ends.
        start, end: where the thread was then.
    """

    thread: str
    first: int
    last: int
    start: Stack
    end: Stack


@dataclass(frozen=True, slots=True)
class Step:
    """A function that hands the detections on, and the thread that runs it."""

    thread: str
    function: Function


@dataclass(frozen=True, slots=True)
class Way:
    """What one frame does.

    Attributes:
        threads: over which it goes.
        entered: the functions in the order of the first entry.
        handed: the way of its detections from the network to paho.
    """

    threads: tuple[str, ...]
    entered: tuple[Function, ...]
    handed: tuple[Step, ...]

    @property
    def modules(self) -> list[str]:
        """Return the modules entered, in the order of the first entry."""
        return list(dict.fromkeys(each.module for each in self.entered if not each.generated))

    @property
    def hops(self) -> int:
        """Return how often the detections are handed to another module."""
        modules = [each.function.module for each in self.handed]
        return sum(before != after for before, after in pairwise(modules))


def way_of(notes: list[Note], recorder: Recorder) -> Way:
    """Follow a frame.

    Raises:
        LostError: it is not seen to go from thread to thread, or not through the network.
    """
    legs = _legs(notes)
    functions = recorder.functions_of
    entered: list[tuple[int, Function]] = []
    for leg in legs:
        entered += [(leg.first, each) for each in functions(_back(leg.start, leg.end))]
        entered += [
            (at, note.function)
            for at, note in enumerate(notes[leg.first : leg.last], leg.first)
            if note.thread == leg.thread and note.function is not None
        ]
    written = notes[-1]
    entered += [(len(notes), each) for each in functions(_inside_paho(written.stack))]
    entered.sort(key=lambda pair: pair[0])
    return Way(
        threads=tuple(dict.fromkeys([*(leg.thread for leg in legs), written.thread])),
        entered=tuple(dict.fromkeys(function for _, function in entered)),
        handed=tuple(
            Step(leg.thread, each)
            for leg in _from_network(notes, legs)
            for each in functions(_path(leg.start, leg.end))
        ),
    )


def _legs(notes: list[Note]) -> list[Leg]:
    """Go back from the call of paho's `publish` to the thread that captured the frame."""
    captured = notes[0]
    end_at = max((at for at, note in enumerate(notes) if note.kind == "publish"), default=0)
    legs: list[Leg] = []
    while notes[end_at].thread != captured.thread:
        taken_at, put_at = _handed_over(notes, end_at)
        end, taken = notes[end_at], notes[taken_at]
        legs.append(Leg(end.thread, taken_at, end_at, taken.stack, end.stack))
        end_at = put_at
    end = notes[end_at]
    return [Leg(end.thread, 0, end_at, captured.stack, end.stack), *reversed(legs)]


def _handed_over(notes: list[Note], end_at: int) -> tuple[int, int]:
    """Return where the thread of a note last took something before it, and where that was put."""
    thread = notes[end_at].thread
    for taken_at in range(end_at - 1, 0, -1):
        taken = notes[taken_at]
        if taken.kind != "took" or taken.thread != thread:
            continue
        for put_at in range(taken_at - 1, 0, -1):
            put = notes[put_at]
            if put.kind == "put" and put.channel == taken.channel and put.thread != thread:
                return taken_at, put_at
    msg = f"expected the thread {thread} to take the frame from another one, got no such thread"
    raise LostError(msg)


def _from_network(notes: list[Note], legs: list[Leg]) -> list[Leg]:
    """Return the legs from the last return of `Backend.run` on, the first one cut off there."""
    for number, leg in reversed(list(enumerate(legs))):
        for at in reversed(range(leg.first, leg.last)):
            note = notes[at]
            if note.kind == "network" and note.thread == leg.thread:
                return [replace(leg, first=at, start=note.stack), *legs[number + 1 :]]
    msg = "expected a call of Backend.run on the frame's path, got none"
    raise LostError(msg)


def _back(start: Stack, end: Stack) -> Stack:
    """Return what control goes back through, innermost first, up to where it turns."""
    common = sum(
        1 for _ in takewhile(lambda pair: pair[0] is pair[1], zip(start, end, strict=False))
    )
    return start[max(0, common - 1) :][::-1]


def _path(start: Stack, end: Stack) -> Stack:
    """Return the shortest path between two places in the call tree of a thread."""
    back = _back(start, end)
    return back + end[len(start) - len(back) + 1 :]


def _inside_paho(stack: Stack) -> Stack:
    """Return what stands between paho's loop, or its `publish`, and the socket."""
    outside = max(at for at, each in enumerate(stack) if each.f_code.co_name in PAHO_STARTS)
    return stack[outside + 1 :]


def compose(path: Path) -> None:
    """Write the recording, Motion JPEG of 640x480."""
    pictures = _pictures((27, 84, 159))
    background = pictures[159]
    person = pictures[84][95:425, 180:395]
    cat = cv2.resize(
        pictures[27][130:400, 70:420], (210, 162), interpolation=cv2.INTER_LINEAR_EXACT
    )
    fourcc = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, fourcc, FPS, (640, 480))
    for number in range(FRAMES):
        image = background.copy()
        if number >= 2:  # a daemon that has just started may drop the objects of its first frame
            left = 423 - 40 * abs(number - (TRACED - 5))
            image[95:425, left : left + 215] = person
        if number >= TRACED - 2:  # the third detection confirms it
            image[280:442, 5:215] = cat
        writer.write(image)
    writer.release()


def _pictures(numbers: tuple[int, ...]) -> dict[int, NDArray[np.uint8]]:
    """Return frames of the bundled recording, uint8 [480, 640, 3] BGR."""
    capture = cv2.VideoCapture(str(DEMO_RECORDING), cv2.CAP_OPENCV_MJPEG)
    found = {}
    for number in range(max(numbers) + 1):
        if capture.grab() and number in numbers:
            found[number] = np.asarray(capture.retrieve()[1], np.uint8)
    capture.release()
    return found


def record() -> Recorder:
    """Run the daemon until the detections of the traced frame are written.

    Raises:
        LostError: they were not within `TIMEOUT_S`.
    """
    recorder = Recorder()
    with tempfile.TemporaryDirectory() as name, loopback_broker("trace") as port:
        folder = Path(name)
        recording = folder / "walk.avi"
        compose(recording)
        config = {
            "device": "trace",
            "mqtt": {"port": port},
            "state_folder": str(folder / "state"),
            "runtime": {"threads": 1},
            "cameras": {"yard": {"source": str(recording), "fps": FPS, **SCENE}},
        }
        daemon = Daemon(Config.model_validate(config))
        threading.Thread(target=_stop_when_done, args=(daemon, recorder), daemon=True).start()
        threading.setprofile(recorder)
        daemon.run()
        threading.setprofile(None)
    if not recorder.done.is_set():
        msg = f"expected the detections of frame {TRACED} within {TIMEOUT_S:g} s, got none"
        raise LostError(msg)
    return recorder


def _stop_when_done(daemon: Daemon, recorder: Recorder) -> None:
    recorder.done.wait(TIMEOUT_S)
    daemon.stop()


def report(recorder: Recorder) -> tuple[str, Way]:
    """Return everything as text, and the way of the traced frame.

    Raises:
        LostError: that cannot be followed.
    """
    way = way_of(recorder.frames[TRACED], recorder)
    lines = [
        *_table(recorder),
        "",
        f"Threads of frame {TRACED}: {', '.join(way.threads)}",
        "",
        "Modules in the order of the first entry, and their functions:",
        *_entered(way),
        "",
        "Hops of its detections, from the network to the socket:",
        *_hops(way),
        "",
        f"modules: {len(way.modules)}",
        f"functions: {len(way.entered)}",
        f"hops: {way.hops}",
        "",
    ]
    return "\n".join(lines), way


def _table(recorder: Recorder) -> Iterator[str]:
    yield "frame  modules  functions  hops  events"
    for number in range(TRACED + 1):
        with contextlib.suppress(LostError, KeyError):  # also for one that was not published
            way = way_of(recorder.frames[number], recorder)
            events = [each.name.partition(".")[0] for each in way.entered if each in EVENTS]
            figures = f"{len(way.modules):7}  {len(way.entered):9}  {way.hops:4}"
            yield f"{number:5}  {figures}  {', '.join(sorted(events)) or '-'}"


def _entered(way: Way) -> Iterator[str]:
    numbers = {module: str(number) for number, module in enumerate(way.modules, 1)}
    for module in dict.fromkeys([*numbers, *(each.module for each in way.entered)]):
        names = ", ".join(str(each) for each in way.entered if each.module == module)
        yield f"{numbers.get(module, '-'):>3}  {_short(module)}: {names}"


def _hops(way: Way) -> Iterator[str]:
    hops, before = 0, way.handed[0]
    for step in way.handed:
        is_hop = step.function.module != before.function.module
        hops += is_hop
        thread = "" if step.thread == before.thread else f" (thread {step.thread})"
        module = _short(step.function.module)
        yield f"{hops if is_hop else '':>3}  {module}: {step.function}{thread}"
        before = step


def _short(module: str) -> str:
    return module.removeprefix("edgevision.")


def excesses(way: Way, *, max_modules: int | None, max_hops: int | None) -> list[str]:
    """Return which figures are above their limits."""
    figures = {"modules": (len(way.modules), max_modules), "hops": (way.hops, max_hops)}
    return [
        f"expected at most {limit} {name}, got {figure}"
        for name, (figure, limit) in figures.items()
        if limit is not None and figure > limit
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--max-modules", type=int, help="end with status 1 above this")
    parser.add_argument("--max-hops", type=int, help="end with status 1 above this")
    limits = parser.parse_args()
    try:
        text, way = report(record())
    except (LostError, EdgevisionError) as error:
        sys.stderr.write(f"trace: {error}\n")
        return 2
    sys.stdout.write(text)
    above = excesses(way, max_modules=limits.max_modules, max_hops=limits.max_hops)
    sys.stdout.flush()
    sys.stderr.writelines(f"trace: {each}\n" for each in above)
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
