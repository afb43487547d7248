"""The process that is fed: reads inputs from stdin, puts each into a target, says what came out.

Started as `python worker.py TARGET SAMPLES`. Each input and each answer is a length of 4 bytes,
most significant first, and that many bytes. Memory is limited, so an input that asks for too
much of it is a fault here and not on the machine that runs the tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import struct
import sys
import tempfile
import threading
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY_BYTES = 4 << 30
TAKEN = "taken"


def configuration(folder: Path) -> Callable[[bytes], str]:
    from edgevision.config.loader import load_config, with_places
    from edgevision.errors import ConfigError

    path = folder / "config.yaml"

    def feed(content: bytes) -> str:
        path.write_bytes(content)
        try:
            load_config(path, {})
        except ConfigError as error:
            return str(error)
        with_places(path, ConfigError("mqtt.host: expected another one"))
        return TAKEN

    return feed


def environment(folder: Path) -> Callable[[bytes], str]:
    from edgevision.config.loader import load_config
    from edgevision.errors import ConfigError

    path = folder / "config.yaml"
    path.write_text("cameras: {yard: {source: 0}}\n", encoding="utf-8")

    def feed(content: bytes) -> str:
        try:
            load_config(path, json.loads(content))
        except ConfigError as error:
            return str(error)
        return TAKEN

    return feed


def card(folder: Path) -> Callable[[bytes], str]:
    from edgevision.errors import ModelError
    from edgevision.model_card import load_model

    def feed(content: bytes) -> str:
        (folder / "card.json").write_bytes(content)
        try:
            load_model(folder)
        except ModelError as error:
            return str(error)
        return TAKEN

    return feed


def labels(folder: Path) -> Callable[[bytes], str]:
    from edgevision.errors import ModelError
    from edgevision.model_card import parse_labels

    def feed(content: bytes) -> str:
        try:
            parse_labels(folder / "labels.txt", content)
        except ModelError as error:
            return str(error)
        return TAKEN

    return feed


def graph(folder: Path) -> Callable[[bytes], str]:
    import numpy as np

    from edgevision.config.settings import RuntimeConfig
    from edgevision.errors import BackendError, ModelError
    from edgevision.inference.onnxruntime import OnnxRuntimeBackend
    from edgevision.model_card import load_model

    model = load_model(folder)
    size = model.card.input
    image = np.zeros((1, size.height, size.width, 3), np.uint8)

    def feed(content: bytes) -> str:
        try:
            OnnxRuntimeBackend(model, RuntimeConfig(threads=1), graph=content).run(image)
        except (BackendError, ModelError) as error:
            return str(error)
        return TAKEN

    return feed


def plan(_folder: Path) -> Callable[[bytes], str]:
    from edgevision.errors import ModelError
    from edgevision.inference.numpy_backend import NumpyNetwork
    from edgevision.inference.numpy_plan import read_plan

    def feed(content: bytes) -> str:
        try:
            NumpyNetwork(read_plan(content))
        except ModelError as error:
            return str(error)
        return TAKEN

    return feed


def image(folder: Path) -> Callable[[bytes], str]:
    from edgevision.capture.recording import read_image
    from edgevision.errors import BadFrameError

    path = folder / "image"

    def feed(content: bytes) -> str:
        path.write_bytes(content)
        try:
            read_image(path)
        except BadFrameError as error:
            return str(error)
        return TAKEN

    return feed


def recording(folder: Path) -> Callable[[bytes], str]:
    from edgevision.capture.recording import Recording
    from edgevision.errors import SourceError

    path = folder / "recording"

    def feed(content: bytes) -> str:
        path.write_bytes(content)
        try:
            source = Recording(path)
        except SourceError as error:
            return str(error)
        try:
            for _ in range(20):
                if not source.grab():
                    break
                with contextlib.suppress(SourceError):
                    source.retrieve()
        except SourceError as error:
            return str(error)
        finally:
            source.close()
        return TAKEN

    return feed


def broker(_folder: Path) -> Callable[[bytes], str]:
    from edgevision.mqtt.connection import Connection, Endpoint
    from edgevision.mqtt.message import Message

    server = socket.create_server(("127.0.0.1", 0))
    endpoint = Endpoint(
        "127.0.0.1", server.getsockname()[1], "a", connect_timeout_s=5.0, will=Message("t", b"x")
    )
    versions = ["5", "3.1.1"]
    opened: list[Connection] = []

    def answer(content: bytes) -> None:
        near, _address = server.accept()
        with near, contextlib.suppress(OSError):
            near.settimeout(10)
            near.recv(4096)
            near.sendall(content)
            near.shutdown(socket.SHUT_WR)
            while near.recv(4096):
                pass

    def feed(content: bytes) -> str:
        versions.reverse()
        thread = threading.Thread(target=answer, args=(content,), daemon=True)
        thread.start()
        connection = Connection(
            replace(endpoint),
            versions[0],
            on_open=lambda connection: (connection.subscribe("t/#"), opened.append(connection)),
            on_message=lambda _message: None,
        )
        ending = connection.run()
        thread.join(20)
        if thread.is_alive():
            msg = "the connection was not closed"
            raise RuntimeError(msg)
        said = TAKEN if opened else str(ending.fault)
        opened.clear()
        return said

    return feed


def message(_folder: Path) -> Callable[[bytes], str]:
    import io

    from rich.console import Console

    from edgevision.cli.console import print_json
    from edgevision.cli.watch import View, _parsed
    from edgevision.mqtt.message import Topics

    topics = Topics("edgevision/porch")
    names = [topics.status, topics.metrics, topics.camera_status("y"), topics.camera_metrics("y")]
    names += [
        topics.events("y"),
        topics.detections("y"),
        "edgevision/porch/\x1b[0m/detections",
        "edgevision/porch",
    ]
    view = View(topics)

    def feed(content: bytes) -> str:
        topic = names[content[0] % len(names)] if content else names[0]
        lines = view.take(topic, content[1:])
        Console(file=io.StringIO(), width=120).print(view.draw())
        print_json({"topic": topic, "payload": _parsed(content[1:])})
        if not all(line.isprintable() for line in lines):
            msg = f"expected printable lines, got {lines!r}"
            raise RuntimeError(msg)
        if view.seen.fps < 0 or len(view.seen.labels) > 2000:
            msg = f"expected bounded figures, got {view.seen.fps} fps"
            raise RuntimeError(msg)
        return "refused" if any("not a message" in line for line in lines) else TAKEN

    return feed


def certificate(folder: Path) -> Callable[[bytes], str]:
    from edgevision.config.mqtt import TlsConfig
    from edgevision.errors import ConfigError
    from edgevision.mqtt.tls import tls_context

    path = folder / "ca.pem"

    def feed(content: bytes) -> str:
        path.write_bytes(content)
        try:
            tls_context(TlsConfig(ca_file=path))
            tls_context(TlsConfig(ca_file=path, cert_file=path, key_file=path))
        except ConfigError as error:
            return str(error)
        return TAKEN

    return feed


class _Played:
    """A service that does whatever it is asked."""

    labels = ("Person", "Cat")
    restart_reasons: tuple[str, ...] = ()
    model_name, backend_name = "m", "numpy"

    def __init__(self, config: Any) -> None:
        self.config = self.file_config = config

    def set_config(self, config: Any) -> None:
        self.config = config

    def reload(self) -> None:
        pass

    def reset(self, camera: str, line: str | None) -> None:
        pass

    def snapshot(self, camera: str) -> tuple[str, int]:
        return f"edgevision/porch/{camera}/snapshot", 1

    @property
    def started_at(self) -> Any:
        from datetime import UTC, datetime

        return datetime(2026, 1, 1, tzinfo=UTC)


def request(folder: Path) -> Callable[[bytes], str]:
    from edgevision.clock import ManualClock
    from edgevision.config.overrides import Overrides
    from edgevision.config.settings import Config
    from edgevision.daemon.control import ArrivedRequest, ControlHandler, Mailbox
    from edgevision.mqtt.message import Message, is_topic
    from edgevision.mqtt.requests import VERBS, ResponseMessage

    line = {"points": [[0, 0.5], [1, 0.5]]}
    cameras = {"yard": {"source": "1", "lines": {"gate": line}}, "door": {"source": "rtsp://d"}}
    config = Config.model_validate({"device": "porch", "cameras": cameras})
    verbs = [*VERBS, "x", "X", "", "a\0", "x" * 70_000, "\ud800"]
    sent: list[Message] = []

    def send(message: Message) -> bool:
        sent.append(message)
        return True

    clock = ManualClock()
    mailbox = Mailbox(clock)
    control = ControlHandler(_Played(config), Overrides(folder), send=send, clock=clock)

    def feed(content: bytes) -> str:
        kind = content[0] if content else 0
        topic = f"edgevision/porch/request/{verbs[kind % len(verbs)]}"
        arrived = control.accept(Message(topic, content[1:], 1, retain=kind > 250))
        if arrived is not None:
            mailbox.ask(arrived)
        for mail in mailbox.incoming(0.0):
            if isinstance(mail, ArrivedRequest):
                control.answer(mail)
        [message] = sent
        sent.clear()
        if not is_topic(message.topic) or message.retain or message.qos != 1:
            msg = f"expected a response at QoS 1 that can be published, got {message}"
            raise RuntimeError(msg)
        response = ResponseMessage.model_validate_json(message.payload)
        return TAKEN if response.status == "ok" else str(response.error)

    return feed


def overrides(folder: Path) -> Callable[[bytes], str]:
    import logging

    from edgevision.config.overrides import FILE, Overrides
    from edgevision.config.settings import Config

    cameras = {"yard": {"source": "1"}, "door": {"source": "rtsp://d"}}
    config = Config.model_validate({"device": "porch", "cameras": cameras})
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("edgevision").addHandler(handler)

    def feed(content: bytes) -> str:
        (folder / FILE).write_bytes(content)
        said.clear()
        Overrides(folder).apply(config, ("Person", "Cat"))
        return said[0] if said else TAKEN

    return feed


TARGETS: dict[str, Callable[[Path], Callable[[bytes], str]]] = {
    made.__name__: made
    for made in (
        configuration,
        environment,
        card,
        labels,
        graph,
        plan,
        image,
        recording,
        broker,
        message,
        certificate,
        request,
        overrides,
    )
}


def main() -> None:
    target, samples = sys.argv[1], Path(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):  # what is fed may print
        os.dup2(nothing, descriptor)
    if os.environ.get("FUZZ_QUIET"):
        os.dup2(nothing, 2)
    with tempfile.TemporaryDirectory() as scratch:
        for sample in samples.iterdir():
            (Path(scratch) / sample.name).write_bytes(sample.read_bytes())
        feed = TARGETS[target](Path(scratch))
        while header := requests.read(4):
            content = requests.read(struct.unpack(">I", header)[0])
            answer: dict[str, Any] = {}
            try:
                said = feed(content)
                answer["said"] = said[:2000]
                if "\n" in said and target not in {"configuration", "environment"}:
                    answer["fault"] = f"expected one line, got {said!r}"
            except BaseException:  # noqa: BLE001 - whatever it is, it is what this is for
                answer["fault"] = traceback.format_exc()
            # Not ru_maxrss, which begins with the parent's.
            status = Path("/proc/self/status").read_text("ascii")
            answer["peak_kb"] = int(status.partition("VmHWM:")[2].split()[0])
            answer["resident_pages"] = int(Path("/proc/self/statm").read_text("ascii").split()[1])
            body = json.dumps(answer).encode()
            replies.write(struct.pack(">I", len(body)) + body)
            replies.flush()


if __name__ == "__main__":
    main()
