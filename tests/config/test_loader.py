from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edgevision.config.camera import (
    CameraConfig,
    MaskConfig,
    MotionConfig,
    RegionsConfig,
    ZoneConfig,
)
from edgevision.config.loader import MAX_FILE_BYTES, load_config
from edgevision.config.mqtt import MqttConfig, TlsConfig
from edgevision.config.settings import Config
from edgevision.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

    Load = Callable[..., Config]
    Faults = Callable[..., tuple[str, ...]]

CAMERA = "cameras: {yard: {source: 0}}\n"


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load this text as config.yaml under this environment."""

    def load_text(text: str | bytes, **environ: str) -> Config:
        path = tmp_path / "config.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_config(path, environ)

    return load_text


@pytest.fixture
def faults(load: Load) -> Faults:
    """Load and return the faults."""

    def faults_of(text: str | bytes, **environ: str) -> tuple[str, ...]:
        with pytest.raises(ConfigError) as caught:
            load(text, **environ)
        return caught.value.faults

    return faults_of


# The form of a fault.


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            f"{CAMERA}log_level: loud\n",
            "config.yaml:2: log_level: expected 'debug', 'info', 'warning' or 'error', got 'loud'",
        ),
        (
            f"{CAMERA}mqtt:\n\n  # the port\n  port: 70000\n",
            "config.yaml:5: mqtt.port: expected a number of at most 65535, got 70000",
        ),
        (
            f"{CAMERA}mqtt: {{port: 0}}\n",
            "config.yaml:2: mqtt.port: expected a number of at least 1, got 0",
        ),
        (
            f"{CAMERA}mqtt:\n  port: http\n",
            "config.yaml:3: mqtt.port: expected a whole number, got 'http'",
        ),
        (
            f"{CAMERA}mqtt:\n  port: 1883.5\n",
            "config.yaml:3: mqtt.port: expected a whole number, got 1883.5",
        ),
        (
            f"{CAMERA}mqtt:\n  port: true\n",
            "config.yaml:3: mqtt.port: expected a whole number, got true",
        ),
        (
            f"{CAMERA}mqtt:\n  port: '1883'\n",
            "config.yaml:3: mqtt.port: expected a whole number, got '1883'",
        ),
        (
            f"{CAMERA}metrics:\n  interval_s: true\n",
            "config.yaml:3: metrics.interval_s: expected a number, got true",
        ),
        (
            f"{CAMERA}mqtt:\n  port: [1883]\n",
            "config.yaml:3: mqtt.port: expected a whole number, got a list of 1",
        ),
        (
            f"{CAMERA}mqtt:\n  host: ''\n",
            "config.yaml:3: mqtt.host: expected at least 1 character, got ''",
        ),
        (
            f"{CAMERA}mqtt:\n  host: 5\n",
            "config.yaml:3: mqtt.host: expected text, got 5",
        ),
        (
            f"{CAMERA}mqtt:\n  allow_plaintext: perhaps\n",
            "config.yaml:3: mqtt.allow_plaintext: expected true or false, got 'perhaps'",
        ),
        (
            f"{CAMERA}mqtt: mosquitto\n",
            "config.yaml:2: mqtt: expected a section with keys, got 'mosquitto'",
        ),
        (
            f"{CAMERA}mqtt:\n  tls: false\n",
            "config.yaml:3: mqtt.tls: expected a section with keys, got false",
        ),
        (
            f"{CAMERA}mqtt:\n  tls:\n    ca_file: 7\n",
            "config.yaml:4: mqtt.tls.ca_file: expected a path, got 7",
        ),
        (
            f"{CAMERA}detection:\n  min_score: 40\n",
            "config.yaml:3: detection.min_score: expected a number below 1, got 40",
        ),
        (
            f"{CAMERA}detection:\n  min_score: 0\n",
            "config.yaml:3: detection.min_score: expected a number above 0, got 0",
        ),
        (
            f"{CAMERA}detection:\n  labels: Cat\n",
            "config.yaml:3: detection.labels: expected a list, got 'Cat'",
        ),
        (
            f"{CAMERA}detection:\n  labels:\n    - Cat\n    - 9\n",
            "config.yaml:5: detection.labels.1: expected text, got 9",
        ),
        (
            f"{CAMERA}detection:\n  label_min_score:\n    Cat: much\n",
            "config.yaml:4: detection.label_min_score.Cat: expected a number, got 'much'",
        ),
        (
            f"{CAMERA}runtime:\n  providers: []\n",
            "config.yaml:3: runtime.providers: expected at least 1 entry, got a list of 0",
        ),
        (
            f"{CAMERA}device: Front Porch\n",
            (
                "config.yaml:2: device: expected 1 to 64 lower-case letters, digits, - or _, "
                "got 'Front Porch'"
            ),
        ),
        (
            "cameras:\n  Yard:\n    source: 0\n",
            (
                "config.yaml:2: cameras.Yard: expected 1 to 64 lower-case letters, digits, - or _, "
                "got 'Yard'"
            ),
        ),
        (
            "cameras:\n  yard:\n    source: 0\n    pixel_format: mjpeg\n",
            (
                "config.yaml:4: cameras.yard.pixel_format: expected four capital letters or digits "
                "such as MJPG, got 'mjpeg'"
            ),
        ),
        (
            "cameras:\n  yard:\n    loop: true\n",
            "config.yaml:2: cameras.yard.source: expected a value, got none: the key is required",
        ),
        (
            "cameras:\n  1:\n    source: 0\n",
            "config.yaml:2: cameras.1: expected text as a key, in quotes if necessary, got 1",
        ),
        (
            f"{CAMERA}5: five\n",
            "config.yaml:2: 5: expected text as a key, in quotes if necessary, got 5",
        ),
        (
            "cameras:\n",
            "config.yaml:1: cameras: expected a section with keys, got nothing",
        ),
        (
            "cameras: {}\n",
            "config.yaml:1: cameras: expected at least 1 entry, got a section with 0 keys",
        ),
        (
            f"\n\n{CAMERA}metrics:\n  interval_s: .nan\n",
            "config.yaml:5: metrics.interval_s: expected a number of at most 3600, got nan",
        ),
        (
            f"{CAMERA}device: 0x{'f' * 5000}\n",
            "config.yaml:2: device: expected text, got a number with thousands of digits",
        ),
    ],
)
def test_a_fault_names_file_line_key_and_the_expected_and_the_actual_value(
    faults: Faults, text: str, fault: str
) -> None:
    assert faults(text) == (fault,)


def test_a_long_value_is_shown_by_its_first_77_characters(faults: Faults) -> None:
    (fault,) = faults(f"{CAMERA}log_level: {'x' * 500}\n")
    assert fault.endswith(f"got '{'x' * 76}…")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("mqtt: {hots: broker}", "mqtt.hots: expected one of host, port, username, .*mean host"),
        ("log_levle: info", "log_levle: expected one of device, model, .*mean log_level"),
        ("detection: {min_scor: 0.5}", "detection.min_scor: expected one of .*mean min_score"),
        ("mqtt: {tls: {cafile: x}}", "mqtt.tls.cafile: expected one of ca_file, .*mean ca_file"),
        (
            "cameras: {yard: {source: 0, detection: {lables: [Cat]}}}",
            "cameras.yard.detection.lables: expected one of min_score, .*mean labels",
        ),
    ],
)
def test_an_unknown_key_comes_with_the_known_ones_and_the_nearest(
    faults: Faults, text: str, hint: str
) -> None:
    (fault,) = faults(text if "cameras" in text else f"{CAMERA}{text}\n")
    assert re.search(rf": {hint}\?\)$", fault)


def test_an_unknown_key_like_no_other_comes_without_a_guess(faults: Faults) -> None:
    (fault,) = faults(f"{CAMERA}metrics: {{colour: blue}}\n")
    assert fault == (
        "config.yaml:2: metrics.colour: expected one of interval_s, window_s; got an unknown key"
    )


def test_5_faults_are_reported_together_in_the_order_of_their_lines(faults: Faults) -> None:
    found = faults(
        "log_level: loud\n"
        "mqtt:\n"
        "  port: 70000\n"
        "  hots: broker\n"
        "cameras:\n"
        "  yard: {source: 0, rotation: 45}\n"
        "detection:\n"
        "  min_score: 2\n"
    )
    places = [fault.split(": ")[:2] for fault in found]
    assert places == [
        ["config.yaml:1", "log_level"],
        ["config.yaml:3", "mqtt.port"],
        ["config.yaml:4", "mqtt.hots"],
        ["config.yaml:6", "cameras.yard.rotation"],
        ["config.yaml:8", "detection.min_score"],
    ]


def test_a_wrong_value_does_not_hide_an_impossible_combination(faults: Faults) -> None:
    found = faults(f"{CAMERA}log_level: loud\nmqtt:\n  host: broker\n  port: 70000\n")
    assert [fault.split(": expected")[0] for fault in found] == [
        "config.yaml:2: log_level",
        "config.yaml:3: mqtt",
        "config.yaml:5: mqtt.port",
    ]


# Impossible combinations, with their lines.


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "cameras:\n  yard:\n    source: rtsp://camera/a\n    loop: true\n",
            (
                "config.yaml:2: cameras.yard: expected loop only for recordings and image folders, "
                "got it for a live source"
            ),
        ),
        (
            "cameras:\n  yard:\n    source: 0\n    width: 640\n",
            "config.yaml:2: cameras.yard: expected width and height together, got one of them",
        ),
        (
            "cameras:\n  yard:\n    source: 0\n  door:\n    source: /dev/video0\n",
            "config.yaml:1: expected one camera per device, got yard and door on /dev/video0",
        ),
        (
            f"{CAMERA}mqtt:\n  tls:\n    cert_file: c.pem\n",
            (
                "config.yaml:3: mqtt.tls: expected cert_file and key_file together, got cert_file "
                "without key_file"
            ),
        ),
        (
            f"{CAMERA}mqtt:\n  host: broker\n",
            (
                "config.yaml:2: mqtt: expected tls for a broker on another machine (broker), got "
                "none; set tls: {}, or allow_plaintext: true if you trust the network"
            ),
        ),
        (
            f"{CAMERA}mqtt:\n  password: hunter2\n",
            "config.yaml:2: mqtt: expected username with a password, got none",
        ),
    ],
)
def test_an_impossible_combination_is_reported_with_the_line_of_its_section(
    faults: Faults, text: str, fault: str
) -> None:
    assert faults(text) == (fault,)


# Files that are not a configuration.


def test_an_empty_file_lacks_cameras(faults: Faults) -> None:
    assert faults(b"") == (
        "config.yaml:1: cameras: expected a value, got none: the key is required",
    )


def test_a_file_of_comments_lacks_cameras(faults: Faults) -> None:
    assert faults("# nothing\n\n# at all\n") == (
        "config.yaml:1: cameras: expected a value, got none: the key is required",
    )


def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "absent.yaml", {})
    assert str(caught.value) == (
        f"{tmp_path}/absent.yaml: cannot be read (No such file or directory); give a file with "
        "--config"
    )


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\)"):
        load_config(tmp_path, {})


def test_a_file_above_1_mib_is_refused(faults: Faults) -> None:
    (fault,) = faults(CAMERA + "#" * MAX_FILE_BYTES)
    assert fault.endswith(f"config.yaml: expected at most {MAX_FILE_BYTES} bytes, got more")


def test_the_first_byte_that_is_not_utf_8_is_reported_with_its_line(faults: Faults) -> None:
    assert faults(b"# Stra\xdfe\n" + CAMERA.encode()) == (
        "config.yaml:1: expected UTF-8 text, got byte 0xdf; save the file as UTF-8",
    )
    assert faults(CAMERA.encode() + b"device: \xe4") == (
        "config.yaml:2: expected UTF-8 text, got byte 0xe4; save the file as UTF-8",
    )


def test_utf_16_is_refused(faults: Faults) -> None:
    (fault,) = faults(CAMERA.encode("utf-16"))
    assert fault == "config.yaml:1: expected UTF-8 text, got byte 0xff; save the file as UTF-8"


def test_a_byte_order_mark_is_taken(load: Load) -> None:
    assert load(CAMERA.encode("utf-8-sig")).cameras["yard"].source == "0"


def test_windows_line_ends_are_taken(load: Load) -> None:
    assert load(b"device: porch\r\ncameras:\r\n  yard:\r\n    source: 0\r\n").device == "porch"


@pytest.mark.parametrize(
    ("text", "got"), [("[1, 2]", "a list of 2"), ("hello", "'hello'"), ("7", "7")]
)
def test_a_file_without_keys_is_refused(faults: Faults, text: str, got: str) -> None:
    assert faults(text) == (f"config.yaml:1: expected keys such as 'cameras:', got {got}",)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("mqtt:\n\thost: a\n", 2, "found character '\\t' that cannot start any token"),
        ("cameras: {yard: {source: 0}\n", 2, "expected ',' or '}', but got '<stream end>'"),
        ("device: a: b\n", 1, "mapping values are not allowed here"),
        ("device: 'porch\n", 2, "found unexpected end of stream"),
        ("a: 1\n---\nb: 2\n", 2, "but found another document"),
        ("device: *nothing\n", 1, "found undefined alias 'nothing'"),
        ("device: !!python/object:os.system x\n", 1, "could not determine a constructor"),
        (f"{CAMERA}device: !!bool perhaps\n", 2, "this cannot be read as bool"),
        (f"{CAMERA}!!bool perhaps: 1\n", 2, "this cannot be read as bool"),
        (f"{CAMERA}device: !!int ''\n", 2, "this cannot be read as int"),
        (f"{CAMERA}device: !!float ''\n", 2, "this cannot be read as float"),
        (f"{CAMERA}device: !!timestamp now\n", 2, "this cannot be read as timestamp"),
        (f"{CAMERA}device: {'9' * 5000}\n", 2, "this cannot be read as int"),
        (f"{CAMERA}device: !!timestamp 2024-13-01\n", 2, "this cannot be read as timestamp"),
    ],
)
def test_a_yaml_error_is_reported_with_its_line(
    faults: Faults, text: str, line: int, words: str
) -> None:
    (fault,) = faults(text)
    assert fault.startswith(f"config.yaml:{line}: expected valid YAML, got an error: ")
    assert words in fault


def test_a_control_character_is_reported_with_its_line(faults: Faults) -> None:
    assert faults(f"{CAMERA}device: a\0b\n") == (
        "config.yaml:2: expected text, got the character 0x0000",
    )


def test_what_looks_like_a_date_is_text(load: Load) -> None:
    assert load(f"{CAMERA}device: 2024-13-01\n").device == "2024-13-01"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            f"device: a\n{CAMERA}device: b\n",
            "config.yaml:3: device: expected each key once, got it again (first on line 1)",
        ),
        (
            "cameras:\n  a: {source: 0}\n  b: {source: 1}\n  a: {source: 2}\n",
            "config.yaml:4: cameras.a: expected each key once, got it again (first on line 2)",
        ),
        (
            f"{CAMERA}? [a, b]\n: 1\n",
            "config.yaml:2: file: expected a plain key, got a list or section",
        ),
        (
            f"{CAMERA}mqtt:\n  ? {{a: b}}\n  : 1\n",
            "config.yaml:3: mqtt: expected a plain key, got a list or section",
        ),
    ],
)
def test_a_key_that_occurs_twice_or_is_not_text_is_reported_with_its_line(
    faults: Faults, text: str, fault: str
) -> None:
    assert faults(text) == (fault,)


@pytest.mark.parametrize(
    "text",
    ["[" * 50_000, "{a: " * 50_000, "- " * 50_000, "a: &a [*a]\n", "a: &a\n  <<: *a\n"],
    ids=["lists", "sections", "dashes", "itself", "merged with itself"],
)
def test_endless_nesting_is_refused(faults: Faults, text: str) -> None:
    assert faults(text) == ("config.yaml:1: expected a few levels of nesting, got hundreds",)


def test_aliases_that_would_expand_to_10_to_the_9_values_are_refused(faults: Faults) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert faults("\n".join(lines)) == ("config.yaml: expected at most 20000 values, got more",)


def test_a_few_anchors_and_merge_keys_work(load: Load) -> None:
    config = load(
        "cameras:\n"
        "  yard: &camera {source: 0, rotation: 90, detection: {min_score: 0.5}}\n"
        "  door: {<<: *camera, source: 1}\n"
    )
    assert config.cameras["door"] == CameraConfig.model_validate(
        {"source": "1", "rotation": 90, "detection": {"min_score": 0.5}}
    )


# The environment.


def test_the_environment_overrides_the_file(load: Load) -> None:
    config = load(f"{CAMERA}mqtt:\n  host: localhost\n", EDGEVISION_MQTT__HOST="127.0.0.2")
    assert config.mqtt.host == "127.0.0.2"


def test_the_environment_sets_keys_of_an_absent_section(load: Load) -> None:
    assert load(CAMERA, EDGEVISION_MQTT__PORT="1884").mqtt.port == 1884


def test_the_environment_sets_keys_of_a_section_that_is_all_comments(load: Load) -> None:
    config = load(f"{CAMERA}mqtt:\n  #host: a\n", EDGEVISION_MQTT__HOST="localhost")
    assert config.mqtt.host == "localhost"


def test_the_environment_adds_a_camera(load: Load) -> None:
    config = load("device: porch\n", EDGEVISION_CAMERAS__YARD__SOURCE="rtsp://u:p@camera/a")
    assert config.cameras["yard"].source == "rtsp://u:p@camera/a"


def test_the_environment_sets_keys_at_the_top(load: Load) -> None:
    assert load(CAMERA, EDGEVISION_LOG_LEVEL="debug").log_level == "debug"


def test_environment_values_are_yaml(load: Load) -> None:
    config = load(
        CAMERA,
        EDGEVISION_DETECTION__LABELS="[Cat, Dog]",
        EDGEVISION_DETECTION__MIN_SCORE="0.25",
        EDGEVISION_MQTT__ALLOW_PLAINTEXT="true",
    )
    assert config.detection.labels == ("Cat", "Dog")
    assert config.detection.min_score == 0.25
    assert config.mqtt.allow_plaintext is True


@pytest.mark.parametrize("password", ["12345", "true", "*star", "a: b", "[x", "null", "'"])
def test_a_password_from_the_environment_is_not_parsed_as_yaml(load: Load, password: str) -> None:
    config = load(CAMERA, EDGEVISION_MQTT__USERNAME="u", EDGEVISION_MQTT__PASSWORD=password)
    assert config.mqtt.password is not None
    assert config.mqtt.password.get_secret_value() == password


def test_other_variables_are_ignored(load: Load) -> None:
    assert load(CAMERA, EDGE_MQTT__PORT="x", PATH="/bin", edgevision_x="1").mqtt.port is None


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        (
            "EDGEVISION_MQTT__PORT",
            "many",
            "environment EDGEVISION_MQTT__PORT: mqtt.port: expected a whole number, got 'many'",
        ),
        (
            "EDGEVISION_MQTT__PORT",
            "!!bool x",
            "environment EDGEVISION_MQTT__PORT: mqtt.port: expected a whole number, got '!!bool x'",
        ),
        (
            "EDGEVISION_MQTT__HOST",
            "",
            "environment EDGEVISION_MQTT__HOST: mqtt.host: expected text, got nothing",
        ),
        (
            "EDGEVISION_LOG_LEVEL",
            "loud",
            (
                "environment EDGEVISION_LOG_LEVEL: log_level: expected 'debug', 'info', 'warning' "
                "or 'error', got 'loud'"
            ),
        ),
        (
            "EDGEVISION_CAMERAS__DOOR__ROTATION",
            "90",
            (
                "environment EDGEVISION_CAMERAS__DOOR__ROTATION: cameras.door.source: expected a "
                "value, got none: the key is required"
            ),
        ),
        (
            "EDGEVISION_DEVICE__NAME",
            "x",
            (
                "environment EDGEVISION_DEVICE__NAME: device: expected a section with keys, "
                "got 'porch'"
            ),
        ),
        (
            "EDGEVISION_METRICS__INTERVAL",
            "1",
            (
                "environment EDGEVISION_METRICS__INTERVAL: metrics.interval: expected one of "
                "interval_s, window_s; got an unknown key (did you mean interval_s?)"
            ),
        ),
    ],
)
def test_a_fault_in_the_environment_names_the_variable(
    faults: Faults, name: str, value: str, fault: str
) -> None:
    assert faults(f"device: porch\n{CAMERA}", **{name: value}) == (fault,)


@pytest.mark.parametrize("value", ["[" * 5000, "2024-99-99", "&a [*a]", "'", "\0", "!x y", "%"])
def test_a_value_that_is_not_yaml_counts_as_text(faults: Faults, value: str) -> None:
    (fault,) = faults(CAMERA, EDGEVISION_MQTT__PORT=value)
    assert fault.startswith("environment EDGEVISION_MQTT__PORT: mqtt.port: expected a whole number")


def test_faults_of_file_and_environment_are_reported_together(faults: Faults) -> None:
    found = faults(f"{CAMERA}log_level: loud\n", EDGEVISION_MQTT__PORT="0")
    assert {fault.split(": ")[0] for fault in found} == {
        "config.yaml:2",
        "environment EDGEVISION_MQTT__PORT",
    }


# Secrets.


@pytest.mark.parametrize(
    "text",
    [
        "mqtt: {password: [hunter2]}",
        "mqtt: {password: {a: hunter2}}",
        "mqtt: {password: hunter2}",
        "mqtt: {password: hunter2, username: u, password_file: f}",
        "mqtt: {password: hunter2, username: u, port: x}",
        "mqtt: {password hunter2}",
        "mqtt:\n  password hunter2",
        "mqtt: {passwort: hunter2}",
        "mqtt: {password: *hunter2}",
        "mqtt: {password: !hunter2 x}",
        "mqtt: {password: &hunter2 5}",
        'mqtt: {password: "hunter2\\q"}',
        "mqtt: {password: 'hunter2}",
        "mqtt: {password: hunter2: x}",
        "mqtt: {password: hunter2, password: hunter2}",
        "mqtt: {username: [u], password_file: {hunter2: 5}}",
        "mqtt: {host: 'mqtt://u:hunter2@broker'}",
        "mqtt: mqtt://u:hunter2@broker",
        "mqtt: 'mqtt://u:hunter2/@x@broker'",
        "cameras: {door: 'rtsp://u:hunter2@camera'}",
        "cameras: {door: {source: 'rtsp://u:hunter2@camera', loop: true}}",
        "cameras: {door: {source: 'rtsp://u:hunter2@camera', width: 1, height: 1}}",
        "cameras: {door: {source: ['rtsp://u:hunter2@camera']}}",
        "device: rtsp://u:hunter2@camera",
    ],
)
def test_no_message_shows_a_password(faults: Faults, text: str) -> None:
    text = text if text.startswith("cameras") else f"{CAMERA}{text}\n"
    assert "hunter2" not in "\n".join(faults(text))


@pytest.mark.parametrize(
    "environ",
    [
        {"EDGEVISION_MQTT__PASSWORD": "hunter2"},
        {"EDGEVISION_MQTT__PASSWORD": "hunter2", "EDGEVISION_MQTT__PASSWORD__X": "1"},
        {"EDGEVISION_MQTT__PASSWORD__X": "hunter2"},
        {"EDGEVISION_MQTT__PASSWORD_FILE": "{hunter2: 1}", "EDGEVISION_MQTT__USERNAME": "u"},
        {"EDGEVISION_CAMERAS__DOOR": "rtsp://u:hunter2@camera"},
        {"EDGEVISION_MQTT__PORT": "mqtt://u:hunter2@broker"},
        {"EDGEVISION_PASSWORD": "hunter2"},
        {"EDGEVISION_MQTT__PASWORD": "hunter2"},
    ],
)
def test_no_message_shows_a_password_from_the_environment(
    faults: Faults, environ: dict[str, str]
) -> None:
    assert "hunter2" not in "\n".join(faults(CAMERA, **environ))


# Paths.


def test_relative_paths_start_at_the_folder_of_the_file(load: Load, tmp_path: Path) -> None:
    config = load(
        "cameras: {yard: {source: clips/a.avi}}\n"
        "mqtt: {username: u, password_file: secret, tls: {ca_file: ca.pem}}\n"
        "model: /opt/model\n"
    )
    assert config.cameras["yard"].source == str(tmp_path / "clips" / "a.avi")
    assert config.mqtt.password_file == tmp_path / "secret"
    assert config.mqtt.tls == TlsConfig(ca_file=tmp_path / "ca.pem")
    assert config.model == Path("/opt/model")


def test_a_path_from_the_environment_starts_at_the_folder_of_the_file_too(
    load: Load, tmp_path: Path
) -> None:
    config = load(CAMERA, EDGEVISION_MQTT__PASSWORD_FILE="secret", EDGEVISION_MQTT__USERNAME="u")
    assert config.mqtt.password_file == tmp_path / "secret"


# The configuration that ships with the project.


@pytest.fixture
def uncommented(repository: Path) -> dict[str, Any]:
    """The shipped configuration with every `#key:` line uncommented."""
    text = (repository / "config.yaml").read_text(encoding="utf-8")
    tree: dict[str, Any] = yaml.safe_load(re.sub(r"(?m)^( *)#(?=( {2})*\w+:)", r"\1", text))
    return tree


def test_the_shipped_configuration_loads_and_sets_only_a_camera(repository: Path) -> None:
    config = load_config(repository / "config.yaml", {})
    only_a_camera = {"cameras": {"camera": {"source": "0"}}}
    assert config == Config.model_validate(only_a_camera, context={"folder": repository})


@pytest.mark.parametrize("environ", [{"EDGEVISION_MQTT__HOST": "localhost"}])
def test_the_shipped_configuration_takes_settings_from_the_environment(
    repository: Path, environ: dict[str, str]
) -> None:
    assert load_config(repository / "config.yaml", environ).mqtt.host == "localhost"


@pytest.mark.parametrize(
    ("section", "model"),
    [
        ((), Config),
        (("cameras", "camera"), CameraConfig),
        *(
            ((name,), Config.model_fields[name].annotation)
            for name in (
                "detection",
                "metrics",
                "outbox",
                "tracking",
                "snapshots",
                "homeassistant",
                "control",
            )
        ),
        (("runtime",), Config.model_fields["runtime"].annotation),
        (("mqtt",), MqttConfig),
        (("mqtt", "tls"), TlsConfig),
        (("cameras", "camera", "zones", "drive"), ZoneConfig),
        (("cameras", "camera", "masks", "poster"), MaskConfig),
        (("cameras", "camera", "motion"), MotionConfig),
        (("cameras", "camera", "regions"), RegionsConfig),
    ],
)
def test_the_shipped_configuration_mentions_every_key(
    uncommented: dict[str, Any], section: tuple[str, ...], model: type[BaseModel]
) -> None:
    node = uncommented
    for key in section:
        node = node[key]
    assert set(node) == set(model.model_fields)


def test_a_value_shown_in_a_comment_is_one_that_the_schema_takes(
    uncommented: dict[str, Any],
) -> None:
    del uncommented["mqtt"]["password_file"]  # beside a password
    del uncommented["cameras"]["camera"]["loop"]  # of a device
    Config.model_validate(uncommented)


@pytest.fixture
def schema() -> dict[str, Any]:
    """The JSON Schema that editors use."""
    return Config.model_json_schema()


def test_the_json_schema_takes_the_shipped_configuration(
    repository: Path, schema: dict[str, Any]
) -> None:
    text = (repository / "config.yaml").read_text(encoding="utf-8")
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(text))


def test_the_json_schema_takes_every_value_shown_in_a_comment(
    uncommented: dict[str, Any], schema: dict[str, Any]
) -> None:
    jsonschema.Draft202012Validator(schema).validate(uncommented)


def test_the_json_schema_is_a_valid_schema(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    "text",
    [
        "log_level: loud",
        "mqtt: {port: 0}",
        "mqtt: {hots: a}",
        "cameras: {}",
        "cameras: {A: {source: 0}}",
        "cameras: {a: {source: 0, rotation: 45}}",
        "cameras: {a: {}}",
        "mqtt: {protocol: 4}",
    ],
)
def test_the_json_schema_refuses_what_loading_refuses(
    schema: dict[str, Any], faults: Faults, text: str
) -> None:
    text = text if text.startswith("cameras") else f"{CAMERA}{text}"
    assert faults(text)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(text))


# Arbitrary input.

KEYS = st.sampled_from(
    [
        *Config.model_fields,
        *CameraConfig.model_fields,
        *MqttConfig.model_fields,
        *TlsConfig.model_fields,
        "yard",
        "Person",
        "<<",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.dates()
    | st.binary(max_size=4)
    | st.sampled_from(
        ["0", "rtsp://u:p@[", "~", "~x/y", "/dev/video0", "a/b.avi", "1.5", "x" * 300]
    )
)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS | SCALARS.filter(lambda key: key == key), inner, max_size=5)  # noqa: PLR0124 - NaN
    ),
    max_leaves=30,
)
ENVIRONMENTS = st.dictionaries(
    st.lists(KEYS.map(str.upper), min_size=1, max_size=3).map(
        lambda keys: "EDGEVISION_" + "__".join(keys)
    ),
    st.text(max_size=10) | SCALARS.map(str),
    max_size=3,
)


def loads_or_is_refused(folder: Path, content: bytes, environ: dict[str, str]) -> None:
    path = folder / "anything.yaml"
    path.write_bytes(content)
    try:
        load_config(path, environ)
    except ConfigError as error:
        assert error.faults  # noqa: PT017 - loading is as good
        assert not [fault for fault in error.faults if "\n" in fault or not fault]  # noqa: PT017


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("anything")


@given(content=st.binary(max_size=200))
def test_any_bytes_are_a_configuration_or_a_configuration_error(
    folder: Path, content: bytes
) -> None:
    loads_or_is_refused(folder, content, {})


@given(text=st.text("ab:-{}[]&*!|>%@'\"#,? \n\t\\01.<~", max_size=60))
def test_any_text_that_looks_like_yaml_is_a_configuration_or_a_configuration_error(
    folder: Path, text: str
) -> None:
    loads_or_is_refused(folder, (CAMERA + text).encode(), {})


@given(tree=TREES, environ=ENVIRONMENTS)
def test_any_tree_under_any_environment_is_a_configuration_or_a_configuration_error(
    folder: Path, tree: object, environ: dict[str, str]
) -> None:
    content = yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")
    loads_or_is_refused(folder, content, environ)


@given(
    settings=st.dictionaries(st.sampled_from(list(Config.model_fields)), TREES, max_size=5),
    camera=st.dictionaries(st.sampled_from(list(CameraConfig.model_fields)), SCALARS, max_size=5),
    mqtt=st.dictionaries(st.sampled_from(list(MqttConfig.model_fields)), SCALARS, max_size=5),
)
def test_any_values_of_known_keys_are_a_configuration_or_a_configuration_error(
    folder: Path, settings: dict[str, Any], camera: dict[str, Any], mqtt: dict[str, Any]
) -> None:
    tree = {"cameras": {"yard": camera}, "mqtt": mqtt, **settings}
    content = yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")
    loads_or_is_refused(folder, content, {})
