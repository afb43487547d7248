from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pytest
from brokers import Listener, Mosquitto
from daemons import RECORDING, run_command, running, settings

from edgevision import __version__
from edgevision.mqtt.contract import schema

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def replayed() -> list[dict[str, object]]:
    done = run_command("replay", RECORDING)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def cat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write frame 50 of the recording, which shows the cat, as a JPEG file."""
    video = cv2.VideoCapture(RECORDING)
    video.set(cv2.CAP_PROP_POS_FRAMES, 50)
    path = tmp_path_factory.mktemp("images") / "cat.jpg"
    cv2.imwrite(str(path), video.read()[1])
    return path


def test_every_command_explains_itself() -> None:
    commands = ["run", "replay", "evaluate", "detect", "demo", "watch", "bench"]
    commands += ["check-config", "config", "schema"]
    for words in ([], *([c] for c in commands), ["model"], ["model", "build"], ["model", "info"]):
        done = run_command(*words, "--help")
        assert done.returncode == 0
        assert "Usage: edgevision" in done.stdout or "Usage: python -m edgevision" in done.stdout


def test_the_version_is_printed() -> None:
    assert run_command("--version").stdout.strip() == __version__


def test_replay_prints_one_message_of_the_contract_for_each_of_160_frames(
    replayed: list[dict[str, object]],
) -> None:
    document = schema() | {"$ref": "#/$defs/DetectionsMessage"}
    for message in replayed:
        jsonschema.validate(message, document)
    assert [message["frame"] for message in replayed] == list(range(160))
    assert replayed[10]["captured_at"] == "1970-01-01T00:00:01.000000Z"


def test_a_second_replay_gives_the_same_bytes(replayed: list[dict[str, object]]) -> None:
    again = run_command("replay", RECORDING).stdout
    assert [json.loads(line) for line in again.splitlines()] == replayed


def test_replay_with_a_score_of_0_7_keeps_only_what_is_above(
    replayed: list[dict[str, object]],
) -> None:
    done = run_command("replay", RECORDING, "--min-score", "0.7")
    scores = [
        found["score"]
        for line in done.stdout.splitlines()
        for found in json.loads(line)["detections"]
    ]
    assert scores
    assert min(scores) >= 0.7
    everything = [f for m in replayed for f in m["detections"]]  # type: ignore[attr-defined]
    assert len(scores) == sum(found["score"] > 0.7 for found in everything)


def test_replay_draws_all_160_frames_into_a_video(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    done = run_command("replay", RECORDING, "--annotate", str(target))
    assert done.returncode == 0, done.stderr
    assert cv2.VideoCapture(str(target)).get(cv2.CAP_PROP_FRAME_COUNT) == 160


def test_replay_to_mqtt_delivers_every_frame(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(settings(mosquitto.port)), encoding="utf-8")
    done = run_command("replay", RECORDING, "--config", str(config), "--camera", "yard", "--mqtt")
    assert done.returncode == 0, done.stderr
    frames = [message["frame"] for message in listener.wait_for("porch/yard/detections", 160)]
    assert frames == list(range(160))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.avi", b"", "expected a video file, got an empty file"),
        ("noise.mp4", bytes(range(256)) * 40, "expected a video that FFmpeg can read"),
        ("absent.avi", None, "No such file"),
    ],
)
def test_replay_of_what_is_no_video_is_one_line_and_status_66(
    tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = run_command("replay", str(tmp_path / name))
    assert done.returncode == 66
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr
    assert done.stdout == ""


def test_replay_of_a_file_cut_in_half_prints_what_there_is_and_ends_with_66(
    tmp_path: Path,
) -> None:
    content = Path(RECORDING).read_bytes()
    (tmp_path / "half.avi").write_bytes(content[: len(content) // 2])
    done = run_command("replay", str(tmp_path / "half.avi"))
    assert done.returncode == 66
    assert "cut short" in done.stderr
    assert 40 < len(done.stdout.splitlines()) < 100


def test_detect_prints_image_size_and_detections(cat: Path) -> None:
    done = run_command("detect", str(cat))
    (line,) = [json.loads(text) for text in done.stdout.splitlines()]
    assert list(line) == ["image", "frame_size", "detections"]
    assert line["frame_size"] == [640, 480]
    assert line["detections"][0]["label"] == "Cat"


def test_detect_passes_over_a_bad_image_says_so_and_ends_with_66(cat: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG nothing more")
    done = run_command("detect", str(tmp_path / "bad.png"), str(cat))
    assert done.returncode == 66
    assert len(done.stdout.splitlines()) == 1
    assert "expected a JPEG, PNG or other image" in done.stderr


@pytest.mark.parametrize("shape", [(1, 1, 3), (4320, 7680, 3), (40, 50), (40, 50, 4)])
def test_detect_takes_1x1_8k_grey_and_transparent_images(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), np.full(shape, 128, np.uint8))
    done = run_command("detect", str(path))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frame_size"] == [shape[1], shape[0]]


def test_detect_writes_the_image_with_boxes(cat: Path, tmp_path: Path) -> None:
    run_command("detect", str(cat), "--annotate", str(tmp_path / "drawn"))
    drawn = cv2.imread(str(tmp_path / "drawn" / "cat.jpg"))
    original = cv2.imread(str(cat))
    assert drawn is not None
    assert original is not None
    assert drawn.shape == original.shape
    assert (np.abs(drawn.astype(int) - original) > 60).any()


def test_watch_prints_what_arrives_as_json_lines(mosquitto: Mosquitto, tmp_path: Path) -> None:
    config = settings(mosquitto.port)
    wanted = {"edgevision/porch/status", "edgevision/porch/yard/detections"}
    command = [sys.executable, "-m", "edgevision", "watch", "--json", "--seconds", "100"]
    with (
        running(tmp_path, config),
        subprocess.Popen(
            [*command, "--config", str(tmp_path / "config.yaml")], stdout=subprocess.PIPE, text=True
        ) as watch,
    ):
        assert watch.stdout is not None
        topics = (json.loads(line)["topic"] for line in watch.stdout)
        while wanted:
            wanted.discard(next(topics))
        watch.terminate()


def test_watch_without_a_broker_ends_with_69(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(settings(9)), encoding="utf-8")
    done = run_command("watch", "--config", str(config), "--seconds", "1")
    assert done.returncode == 69
    assert "127.0.0.1:9: cannot be reached" in done.stderr


def test_watch_with_a_wrong_password_ends_with_77(mosquitto: Mosquitto, tmp_path: Path) -> None:
    mosquitto.stop()
    mosquitto.require_password("board", "right")
    mosquitto.start()
    config = tmp_path / "config.yaml"
    login = {"username": "board", "password": "wrong"}
    config.write_text(json.dumps(settings(mosquitto.port, mqtt=login)), encoding="utf-8")
    done = run_command("watch", "--config", str(config))
    assert done.returncode == 77
    assert len(done.stderr.splitlines()) <= 2


def test_check_config_finds_the_default_configuration_good() -> None:
    done = run_command("check-config", str(ROOT / "config.yaml"))
    assert done.returncode == 0, done.stderr
    assert ": valid: " in done.stdout


def test_check_config_as_json_lists_the_faults_and_ends_with_78(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("cameras:\n  yard: {source: 0, fsp: 3}\n  gate: {}\n", encoding="utf-8")
    done = run_command("check-config", str(path), "--json")
    assert done.returncode == 78
    report = json.loads(done.stdout)
    assert report["valid"] is False
    assert [fault.split(" ")[0] for fault in report["faults"]] == [
        "config.yaml:2:",
        "config.yaml:3:",
    ]
    assert "did you mean fps?" in report["faults"][0]


def test_check_config_never_prints_a_password(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "cameras: {yard: {source: 0}}\nmqtt: {username: me, password: s3cr3t-word}\n",
        encoding="utf-8",
    )
    done = run_command("check-config", str(path), "--json")
    assert done.returncode == 0
    assert "s3cr3t-word" not in done.stdout + done.stderr


def test_model_info_shows_card_and_labels() -> None:
    done = run_command("model", "info", "--json")
    card = json.loads(done.stdout)
    assert card["name"] == "ssd_mobilenet_v2_oid"
    assert card["label_names"][4] == "Person"


def test_model_info_of_a_folder_without_a_card_ends_with_65(tmp_path: Path) -> None:
    done = run_command("model", "info", str(tmp_path))
    assert done.returncode == 65
    assert "expected a model folder with a card.json" in done.stderr


def test_the_config_schema_in_docs_is_that_of_the_code() -> None:
    found = json.loads((ROOT / "docs" / "config.schema.json").read_text(encoding="utf-8"))
    assert found == json.loads(run_command("schema", "config").stdout), "run `make schema`"


def test_the_demo_without_a_terminal_prints_plain_lines_and_a_summary_of_all_160_frames() -> None:
    done = run_command("demo")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    lines, summary = done.stdout.split("What arrived over MQTT")
    assert sum("Cat" in line for line in lines.splitlines()) > 30
    # A frame may be skipped where the machine is busy, but then it says so.
    inferred, skipped = map(
        int, re.findall(r"160 captured, (\d+) inferred, (\d+) skipped, 0 unusable", summary)[0]
    )
    assert inferred + skipped == 160
    assert f"{inferred} detections" in summary
    for word in ("Cat", "Person", "Coffee cup", "p50", "p95", "p99", "frames a second"):
        assert word in summary


def test_the_demo_of_a_folder_of_images_gives_its_summary_as_json(
    cat: Path, tmp_path: Path
) -> None:
    for index in range(5):
        shutil.copy(cat, tmp_path / f"{index}.jpg")
    done = run_command("demo", "--source", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    frames = report["frames"]
    assert frames["inferred"] + frames["overwritten"] == frames["captured"] == 5
    assert report["messages"]["detections"] == report["labels"]["Cat"] == frames["inferred"]
    assert report["latency_ms"]["p99"] >= report["latency_ms"]["p50"] > 0


def test_a_demo_of_a_missing_file_ends_with_an_error(tmp_path: Path) -> None:
    done = run_command("demo", "--source", str(tmp_path / "absent.avi"))
    assert done.returncode == 66
    assert "cannot be read" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_bench_reports_every_figure() -> None:
    done = run_command("bench", "--frames", "20", "--threads", "1", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert set(report["stages_ms"]) == {
        "decode video",
        "preprocess",
        "inference",
        "decode boxes",
        "tracking",
        "publish",
    }
    assert report["whole_path_fps"] > 0
    worker = report["camera_worker"]
    assert worker["memory_mib"] > 1
    assert min(worker["first_frame_s"], worker["handover_ms"]) > 0
    assert report["peak_memory_mib"] >= report["memory_mib"] > 0
    idle = report["idle_turn_64_cameras"]
    assert idle["mean_ms"] > 0
    assert (idle["messages"], idle["refused_notes"]) == (0, 0)


def test_bench_of_wrong_thread_counts_ends_with_one_line() -> None:
    done = run_command("bench", "--threads", "two")
    assert done.returncode == 2
    assert "expected counts from 1 to 64 such as 1,2,4, got 'two'" in done.stderr


def test_detect_never_overwrites_an_image_with_its_annotated_self(cat: Path) -> None:
    before = cat.read_bytes()
    done = run_command("detect", str(cat), "--annotate", str(cat.parent))
    assert done.returncode == 73
    assert "would be overwritten; give another folder" in done.stderr
    assert cat.read_bytes() == before


def test_an_unknown_label_is_placed_by_file_line_and_key(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "cameras:\n  yard:\n    source: 0\n    detection:\n      labels: [person]\n",
        encoding="utf-8",
    )
    done = run_command("check-config", str(path))
    assert done.returncode == 78
    assert done.stderr.startswith(
        "edgevision: config.yaml:5: cameras.yard.detection.labels: expected labels of"
    )
    assert "(did you mean Person?)" in done.stderr


def test_the_environment_reaches_a_camera_whose_name_has_a_hyphen(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("cameras: {front-door: {source: 0}}\n", encoding="utf-8")
    done = run_command(
        "check-config",
        str(path),
        "--json",
        EDGEVISION_CAMERAS__FRONT_DOOR__SOURCE="rtsp://camera/1",
    )
    cameras = json.loads(done.stdout)["config"]["cameras"]
    assert {name: camera["source"] for name, camera in cameras.items()} == {
        "front-door": "rtsp://camera/1"
    }


def test_a_score_for_one_run_leaves_a_cameras_other_settings_as_they_are(tmp_path: Path) -> None:
    config = settings(1)
    config["cameras"]["yard"]["detection"] = {"labels": ["Cat"], "label_min_score": {"Cat": 0.9}}
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    options = ["--config", str(path), "--camera", "yard", "--min-score", "0.5"]
    done = run_command("replay", RECORDING, *options)
    labels = {
        f["label"] for line in done.stdout.splitlines() for f in json.loads(line)["detections"]
    }
    assert labels == {"Cat"}


def test_the_demo_of_an_address_that_is_none_ends_with_2() -> None:
    done = run_command("demo", "--source", "rtps://u:hunter2@cam/s")
    assert done.returncode == 2
    assert "expected an address that begins with rtsp://" in done.stderr
    assert "hunter2" not in done.stderr
