"""Everything that comes from outside, damaged: no crash, no hang, no growth.

A few hundred inputs for each target here, thousands by `make fuzz`. The same numbers give the
same inputs, so what fails once fails again.
"""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from certificates import Authority
from fuzz import mutations
from fuzz.feeding import INPUTS, Feeder, Tally
from inference.test_numpy_plan import arrays, plan

from edgevision.config.camera import CameraConfig, DetectionConfig
from edgevision.config.mqtt import MqttConfig, TlsConfig
from edgevision.config.settings import Config, MetricsConfig, RuntimeConfig
from edgevision.mqtt.contract import MESSAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fake_model import FakeModel
    from pydantic import BaseModel

# What a target may have kept after thousands of inputs: caches of libraries, no more.
MAX_GROWTH_MB = 60.0


@pytest.fixture
def feed(tmp_path: Path) -> Callable[..., Tally]:
    def run(target: str, inputs: Iterator[bytes], weight: float = 1.0) -> Tally:
        samples, keep = tmp_path / "samples", tmp_path / "faults"
        samples.mkdir(exist_ok=True)
        keep.mkdir()
        tally = Feeder(target, samples, keep).feed(inputs, max(20, round(INPUTS * weight)))
        assert tally.faults == []
        assert tally.growth_mb < MAX_GROWTH_MB
        assert tally.refused > 0
        return tally

    return run


def words_of(schema: Any) -> list[str]:
    """Return every key and every allowed word of the configuration."""
    found = re.findall(r'"(\w+)": \{', json.dumps(schema))
    return sorted({word for word in found if not word.startswith("$")})


WORDS = words_of(Config.model_json_schema())
BOMB = "\n".join(
    [f"a0: &a0 [{'x, ' * 9}x]"]
    + [f"a{i}: &a{i} [{f'*a{i - 1}, ' * 9}*a{i - 1}]" for i in range(1, 12)]
)
ODD_CONFIGURATIONS = [
    BOMB,
    "a: &a [*a]",
    "cameras: &c {yard: *c}",
    "<<: {<<: {<<: 1}}",
    mutations.nested("[", 5000),
    mutations.nested("{a: ", 3000, "}"),
    mutations.nested("- ", 5000),
    "cameras: !!python/object/apply:os.system ['true']",
    "!!binary x",
    "? [a, b]\n: 1",
    "a: 1\na: 2",
    "mqtt: {port: " + "9" * 5000 + "}",
    "mqtt: {port: 0b" + "1" * 100_000 + "}",
    "mqtt: {port: 1" + ":59" * 5000 + "}",
    "metrics: {interval_s: 1e999999999}",
    "x" * 2_000_000,
    "\n" * 900_000,
    "a: |\n" + " b\n" * 200_000,
    "%YAML 9.9\n---\na: 1\n--- \nb: 2",
    "\ufeff\ufeffcameras:",
    "cameras: {yard: {source: '\\ud800'}}",
]


def test_a_damaged_configuration_is_refused_in_words_or_taken(
    feed: Callable[..., Tally], repository: Path
) -> None:
    own = (repository / "config.yaml").read_text(encoding="utf-8")
    uncommented = re.sub(r"(?m)^(\s*)# (\s*\w+:)", r"\1\2", own)
    odd = (text.encode("utf-8", "surrogatepass") for text in ODD_CONFIGURATIONS)
    rest = mutations.damaged_texts([own, uncommented, "cameras: {yard: {source: 0}}"], WORDS)
    feed("configuration", itertools.chain(odd, rest), 2)


def keys_of(section: type[BaseModel], above: str = "EDGEVISION") -> Iterator[str]:
    """Yield the name of every setting's variable."""
    for name, field in section.model_fields.items():
        key = f"{above}__{name.upper()}".replace("EDGEVISION__", "EDGEVISION_")
        yield key
        for inner in (MqttConfig, TlsConfig, DetectionConfig, RuntimeConfig, MetricsConfig):
            if inner.__name__ in str(field.annotation):
                yield from keys_of(inner, key)
        if "CameraConfig" in str(field.annotation):
            yield from keys_of(CameraConfig, f"{key}__YARD")


def test_a_damaged_environment_is_refused_in_words_or_taken(feed: Callable[..., Tally]) -> None:
    keys = sorted(keys_of(Config))
    assert {"EDGEVISION_MQTT__TLS__CA_FILE", "EDGEVISION_CAMERAS__YARD__SOURCE"} < {*keys}
    good = ["1", "2.5", "true", "{}", "[a]", "", "localhost", "all", "numpy", "a/b", "MJPG"]
    odd = [*mutations.ODD_TEXTS, *ODD_CONFIGURATIONS[:15], *WORDS]

    def settings() -> Iterator[bytes]:
        for seed in itertools.count():
            rng = mutations.random.Random(seed)
            values = {}
            for _ in range(rng.choice((1, 1, 2, 5))):
                key = rng.choice(keys)
                if rng.random() < 0.2:
                    key += f"__{rng.choice(WORDS).upper()}"
                values[key] = rng.choice(good if rng.random() < 0.6 else odd)
            yield json.dumps(values).encode()

    feed("environment", settings())


def test_a_damaged_card_is_refused_in_one_line_or_taken(
    feed: Callable[..., Tally], fake_model: FakeModel, tmp_path: Path
) -> None:
    card = fake_model.card
    fake_model.folder.rename(tmp_path / "samples")
    deep = [mutations.nested("[", 100_000).encode(), mutations.nested('{"a":', 50_000).encode()]
    feed("card", itertools.chain(deep, mutations.damaged_json([card])), 2)


def test_damaged_labels_are_refused_in_one_line_or_taken(
    feed: Callable[..., Tally], repository: Path
) -> None:
    path = repository / "models" / "ssd_mobilenet_v2_oid" / "labels.txt"
    feed("labels", mutations.damaged_bytes([path.read_bytes(), "Größe\u2028\x85\n".encode()]))


def test_a_damaged_graph_is_refused_or_run_and_never_takes_the_process_with_it(
    feed: Callable[..., Tally], fake_model: FakeModel, tmp_path: Path
) -> None:
    content = (fake_model.folder / "int8.onnx").read_bytes()
    fake_model.folder.rename(tmp_path / "samples")
    feed("graph", mutations.damaged_bytes([content]))


def test_the_default_graph_damaged_never_takes_the_process_with_it(
    feed: Callable[..., Tally], repository: Path, tmp_path: Path
) -> None:
    folder = repository / "models" / "ssd_mobilenet_v2_oid"
    (tmp_path / "samples").symlink_to(folder)
    feed("graph", mutations.damaged_bytes([(folder / "int8.onnx").read_bytes()]), 0.05)


def test_a_damaged_plan_is_refused_in_one_line_or_taken(feed: Callable[..., Tally]) -> None:
    feed("plan", mutations.damaged_archives(plan(), arrays()), 2)


def encoded() -> list[bytes]:
    """Return one picture in every format that this OpenCV writes."""
    rng = np.random.default_rng(1)
    picture = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (40, 30))
    suffixes = (".png", ".jpg", ".bmp", ".webp", ".tiff", ".gif", ".ppm", ".ras", ".jp2", ".hdr")
    found = []
    for suffix in suffixes:
        try:
            done, content = cv2.imencode(suffix, picture)
        except cv2.error:  # not built in
            continue
        if done:
            found.append(content.tobytes())
    return found


def test_a_damaged_image_is_refused_in_one_line_or_decoded(feed: Callable[..., Tally]) -> None:
    pictures = encoded()
    assert len(pictures) >= 7
    huge = [
        mutations.png(1 << 30, 1 << 30),
        mutations.png(30_000, 30_000),
        b"BM" + bytes(8) + b"\x36\0\0\0\x28\0\0\0" + b"\xff\xff\xff\x7f" * 2 + b"\1\0\x18\0",
        b"P6 65535 65535 255\n",
        b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + b",\0\0\0\0\xff\xff\xff\xff\0\2",
    ]
    tally = feed("image", itertools.chain(huge, mutations.damaged_bytes(pictures)), 3)
    assert tally.peak_mb < 1500


def videos(folder: Path) -> list[bytes]:
    rng = np.random.default_rng(1)
    found = []
    for name, code in (("a.avi", "MJPG"), ("b.avi", "mp4v"), ("c.mp4", "mp4v"), ("d.mkv", "MJPG")):
        path = folder / name
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 10.0, (64, 48))
        if not writer.isOpened():
            continue
        for _ in range(6):
            small = rng.integers(0, 256, (6, 8, 3), np.uint8)
            writer.write(cv2.resize(small, (64, 48)))
        writer.release()
        found.append(path.read_bytes())
    return found


def test_a_damaged_recording_ends_in_one_line_and_never_takes_the_process_with_it(
    feed: Callable[..., Tally], tmp_path: Path, recording: Path
) -> None:
    samples = videos(tmp_path)
    assert len(samples) >= 3
    with recording.open("rb") as file:  # the bundled one, cut short
        samples.append(file.read(200_000))
    feed("recording", mutations.damaged_bytes(samples))


@pytest.mark.parametrize("version", [5, 4])
def test_whatever_a_broker_sends_the_connection_ends_in_words(
    feed: Callable[..., Tally], version: int
) -> None:
    feed("broker", mutations.packets(version), 0.5)


def test_whatever_arrives_is_shown_by_watch_without_harm(feed: Callable[..., Tally]) -> None:
    now = "2026-01-01T00:00:00Z"
    percentiles = {"p50": 1, "p95": 2, "p99": 3}
    stages = ("capture", "preprocess", "inference", "decode", "tracking", "total")
    counts = ("captured", "inferred", "published", "still", "overwritten", "unusable")
    counts += ("unpublished",)
    given = {
        "schema_version": 1,
        "device": "porch",
        "camera": "y",
        "status": "online",
        "reason": "frames arrive",
        "since": now,
        "source": "0",
        "version": "1",
        "model": "m",
        "backend": "b",
        "started_at": now,
        "measured_at": now,
        "uptime_s": 1,
        "cpu_percent": 1,
        "process_cpu_percent": 1,
        "memory_percent": 1,
        "process_memory_bytes": 1,
        "outbox_depth": 0,
        "unpublished": 0,
        "mqtt_reconnects": 0,
        "capture_fps": 1,
        "inference_fps": 1,
        "publish_fps": 1,
        "frames": dict.fromkeys(counts, 1),
        "reconnects": 0,
        "latency_ms": dict.fromkeys((*stages, "capture_to_publish"), percentiles),
    }
    found = {"label": "Cat", "score": 0.5, "box": [0.1, 0.1, 0.5, 0.5]}
    seen = {"frame": 1, "captured_at": now, "frame_size": [4, 3], "detections": [found]}
    one = {
        "id": "0-2",
        "label": "Cat",
        "score": 0.5,
        "top_score": 0.5,
        "box": [0.1, 0.1, 0.5, 0.5],
        "frame_size": [4, 3],
        "area": 0.25,
        "ratio": 1.3,
        "start_time": now,
        "end_time": now,
        "duration_s": 1,
        "current_zones": ["sofa"],
        "entered_zones": ["sofa"],
        "loitering_zones": [],
        "stationary": False,
        "position_changes": 0,
        "path": [[0.5, 0.6, now]],
    }
    given |= {"id": "0-1", "occurred_at": now, "before": None, "after": one, "object": one}
    given |= {"zone": "sofa", "dwell_s": 1, "line": "gate", "from_side": "in", "to_side": "out"}
    times = {"latency_ms": dict.fromkeys(stages, 1.0)}
    samples = [
        {key: value for key, value in {**given, **more}.items() if key in message.model_fields}
        for message in MESSAGES
        for more in (
            {"type": "new", "reason": "appeared"},
            {"type": "zone", "action": "enter"},
            {"type": "line"},
            {"type": "loitering"},
            {},
            {**seen, **(times if "detections" in message.model_fields else {})},
        )
    ]

    def payloads() -> Iterator[bytes]:
        deep = (mutations.nested("[", 100_000), '{"a":' * 50_000, "1" * 10_000, '"\\ud800"')
        bodies = itertools.chain((t.encode() for t in deep), mutations.damaged_json(samples))
        for number, body in enumerate(bodies):
            yield bytes([number % 251]) + body

    feed("message", payloads(), 3)


def test_damaged_certificates_are_refused_in_one_line_or_taken(
    feed: Callable[..., Tally], tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    own = authority.issue("board")
    both = own.cert.read_bytes() + own.key.read_bytes()
    feed("certificate", mutations.damaged_bytes([both, authority.ca_file.read_bytes()]))


def test_every_request_is_answered_whatever_it_holds(feed: Callable[..., Tally]) -> None:
    samples = [
        {"camera": "yard", "enabled": True, "transaction": "t"},
        {"camera": "yard", "transaction": 7},
        {"camera": "yard", "line": "gate"},
        {"camera": "door", "label": "Person", "min_score": 0.5},
        {"min_score": 0.5},
    ]
    deep = (mutations.nested("[", 4000), '{"a":' * 800, "9" * 4096, '{"camera":"\\ud800"}', "NaN")

    def requests() -> Iterator[bytes]:
        bodies = itertools.chain((t.encode() for t in deep), mutations.damaged_json(samples))
        for number, body in enumerate(bodies):
            yield bytes([number * 7 % 256]) + body

    tally = feed("request", requests(), 3)
    assert tally.taken > 0


def test_damaged_overrides_are_left_out_and_never_stop_the_service(
    feed: Callable[..., Tally],
) -> None:
    entries = [
        {"key": "enabled", "camera": "yard", "value": False, "replaced": True},
        {"key": "min_score", "value": 0.5, "replaced": 0.4},
        {"key": "min_score", "camera": "door", "label": "Person", "value": 0.5},
    ]
    deep = (t.encode() for t in (mutations.nested("[", 100_000), '{"a":' * 50_000))
    samples = [{"schema_version": 1, "overrides": entries}]
    feed("overrides", itertools.chain(deep, mutations.damaged_json(samples)), 2)
