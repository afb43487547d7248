from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edgevision.config.camera import CameraConfig, DetectionConfig
from edgevision.config.mqtt import MqttConfig, TlsConfig
from edgevision.config.settings import DATA_FOLDER, Config, RuntimeConfig, bundled, default_device

CAMERA = {"source": "0"}


def config_of(**settings: object) -> Config:
    return Config.model_validate({"cameras": {"yard": CAMERA}, **settings})


def test_one_camera_is_a_configuration_and_everything_else_has_a_default() -> None:
    config = config_of()
    assert config.mqtt.host == "127.0.0.1"
    assert config.detection.min_score == 0.4
    assert config.cameras["yard"].stall_after_s == 10.0


def test_the_default_device_is_a_name_that_the_schema_takes() -> None:
    assert config_of(device=default_device()).device == default_device()


@pytest.mark.parametrize("section", ["runtime", "detection", "mqtt", "metrics", "outbox"])
def test_a_section_with_nothing_in_it_means_its_defaults(section: str) -> None:
    assert config_of(**{section: None}) == config_of()


def test_topics_start_with_edgevision_and_the_device() -> None:
    assert config_of(device="porch").prefix == "edgevision/porch"


def test_a_configured_prefix_replaces_the_default() -> None:
    assert config_of(mqtt={"prefix": "home/cams"}).prefix == "home/cams"


def test_the_state_folder_is_the_one_that_systemd_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/edgevision:/var/lib/other")
    assert config_of().state_path == Path("/var/lib/edgevision")


def test_without_systemd_the_state_folder_is_the_users_and_the_devices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_STATE_HOME", "relative/is/ignored")
    folder = Path("/home/me/.local/state/edgevision/porch")
    assert config_of(device="porch").state_path == folder
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert config_of(device="porch").state_path == Path("/state/edgevision/porch")


def test_a_configured_state_folder_overrides_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/edgevision")
    assert config_of(state_folder="/srv/state").state_path == Path("/srv/state")


@pytest.mark.parametrize("prefix", ["a/+/b", "#", "/a", "a/", "$SYS/a", "a\0", ""])
def test_a_prefix_that_is_not_a_topic_is_refused(prefix: str) -> None:
    with pytest.raises(ValidationError):
        MqttConfig(prefix=prefix)


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        config_of().log_level = "debug"


def test_a_configuration_without_cameras_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least 1 item"):
        Config.model_validate({"cameras": {}})


@pytest.mark.parametrize("name", ["request", "response"])
def test_a_camera_named_as_a_topic_level_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match=f"not a topic level, got '{name}'"):
        Config.model_validate({"cameras": {name: CAMERA}})


@pytest.mark.parametrize("name", ["", "Yard", "front door", "a/b", "+", "-a", "x" * 65, "hof\n"])
def test_a_camera_name_that_is_no_topic_level_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        Config.model_validate({"cameras": {name: CAMERA}})


@pytest.mark.parametrize(
    ("one", "other"),
    [("0", "0"), ("0", "/dev/video0"), ("/dev/video2", 2), ("00", "0")],
)
def test_two_cameras_on_one_device_are_refused(one: str, other: object) -> None:
    cameras = {"yard": {"source": one}, "door": {"source": other}}
    with pytest.raises(ValidationError, match="one camera per device, got yard and door"):
        Config.model_validate({"cameras": cameras})


def test_a_second_camera_on_a_device_may_be_configured_if_disabled() -> None:
    cameras = {"yard": CAMERA, "door": {**CAMERA, "enabled": False}}
    assert len(Config.model_validate({"cameras": cameras}).cameras) == 2


def test_two_cameras_may_play_one_recording() -> None:
    cameras = {"yard": {"source": "clip.avi"}, "door": {"source": "clip.avi"}}
    assert len(Config.model_validate({"cameras": cameras}).cameras) == 2


@pytest.mark.parametrize("source", ["0", "rtsp://camera/a", "http://camera/a"])
def test_loop_is_refused_for_a_live_source(source: str) -> None:
    with pytest.raises(ValidationError, match="expected loop only for recordings and image"):
        CameraConfig(source=source, loop=True)


@pytest.mark.parametrize("given", [{"width": 640}, {"height": 480}])
def test_width_and_height_come_together(given: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="expected width and height together"):
        CameraConfig.model_validate({"source": "0", **given})


@pytest.mark.parametrize("key", ["width", "height", "pixel_format"])
@pytest.mark.parametrize(("source", "kind"), [("a.avi", "recording"), ("rtsp://a", "stream")])
def test_only_a_device_can_be_asked_for_a_format(source: str, kind: str, key: str) -> None:
    value: object = "MJPG" if key == "pixel_format" else 640
    with pytest.raises(
        ValidationError, match=f"expected {key} only for devices, got it for a {kind}"
    ):
        CameraConfig.model_validate({"source": source, key: value})


@pytest.mark.parametrize("degrees", [45, -90, 360, 90.5])
def test_a_rotation_that_is_no_quarter_turn_is_refused(degrees: float) -> None:
    with pytest.raises(ValidationError, match="Input should be 0, 90, 180 or 270"):
        CameraConfig.model_validate({"source": "0", "rotation": degrees})


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, float("nan"), float("inf")])
@pytest.mark.parametrize("key", ["min_score", "nms_iou"])
def test_a_score_lies_between_0_and_1_without_them(key: str, value: float) -> None:
    with pytest.raises(ValidationError):
        DetectionConfig.model_validate({key: value})


def test_a_cameras_own_detection_settings_override_the_general_ones() -> None:
    config = Config.model_validate(
        {
            "cameras": {"yard": {**CAMERA, "detection": {"min_score": 0.7}}},
            "detection": {"min_score": 0.3, "labels": ["Cat"], "max_objects": 5},
        }
    )
    assert config.detection_of("yard") == DetectionConfig(
        min_score=0.7, labels=("Cat",), max_objects=5
    )


def test_a_camera_without_settings_of_its_own_has_the_general_ones() -> None:
    config = config_of(detection={"min_score": 0.3})
    assert config.detection_of("yard") == DetectionConfig(min_score=0.3)


def test_a_cameras_own_value_counts_even_where_it_is_the_default() -> None:
    config = Config.model_validate(
        {
            "cameras": {"yard": {**CAMERA, "detection": {"min_score": 0.4}}},
            "detection": {"min_score": 0.9},
        }
    )
    assert config.detection_of("yard").min_score == 0.4


@pytest.mark.parametrize(
    ("settings", "port"),
    [({}, 1883), ({"tls": {}}, 8883), ({"tls": None}, 8883), ({"tls": {}, "port": 1}, 1)],
)
def test_the_default_port_is_1883_and_with_tls_8883(settings: dict[str, Any], port: int) -> None:
    assert MqttConfig.model_validate(settings).port_number == port


@pytest.mark.parametrize("host", ["broker", "192.168.0.2", "0.0.0.0", "example.org"])
def test_plain_text_to_another_machine_is_refused(host: str) -> None:
    with pytest.raises(ValidationError) as caught:
        MqttConfig(host=host)
    assert (
        f"expected tls for a broker on another machine ({host}), got none; set tls: {{}}, or "
        "allow_plaintext: true if you trust the network"
    ) in str(caught.value)


@pytest.mark.parametrize("settings", [{"tls": {}}, {"allow_plaintext": True}])
def test_another_machine_is_reached_with_tls_or_on_request_without(
    settings: dict[str, Any],
) -> None:
    assert MqttConfig.model_validate({"host": "broker", **settings}).host == "broker"


@pytest.mark.parametrize(
    ("present", "absent"), [("cert_file", "key_file"), ("key_file", "cert_file")]
)
def test_certificate_and_key_come_together(present: str, absent: str) -> None:
    with pytest.raises(ValidationError, match=f"got {present} without {absent}"):
        TlsConfig.model_validate({present: "x.pem"})


def test_password_and_password_file_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="expected password or password_file, got both"):
        MqttConfig.model_validate({"username": "u", "password": "p", "password_file": "f"})


@pytest.mark.parametrize("settings", [{"password": "p"}, {"password_file": "f"}])
def test_a_password_needs_a_user(settings: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="expected username with a password, got none"):
        MqttConfig.model_validate(settings)


@pytest.mark.parametrize(("given", "version"), [(5, "5"), ("5", "5"), ("3.1.1", "3.1.1")])
def test_the_mqtt_version_may_be_written_as_a_number(given: object, version: str) -> None:
    assert MqttConfig.model_validate({"protocol": given}).protocol == version


@given(st.text(min_size=4, max_size=30).map(lambda text: f"hunter2{text}"))
def test_a_password_shows_in_no_dump_and_no_repr(password: str) -> None:
    config = config_of(mqtt={"username": "u", "password": password})
    shown = [repr(config), str(config), repr(config.model_dump()), config.model_dump_json()]
    assert not [text for text in shown if "hunter2" in text]


def test_a_password_in_a_camera_url_shows_in_no_dump_and_no_repr() -> None:
    config = Config.model_validate({"cameras": {"a": {"source": "rtsp://u:hunter2@camera/a"}}})
    shown = [repr(config), str(config), repr(config.model_dump()), config.model_dump_json()]
    assert not [text for text in shown if "hunter2" in text]


def test_the_shown_source_of_a_camera_has_no_password() -> None:
    camera = CameraConfig(source="rtsp://u:hunter2@camera/a")
    assert camera.shown_source == "rtsp://***@camera/a"
    assert camera.source == "rtsp://u:hunter2@camera/a"


def test_threads_default_to_all_cores_but_one_and_at_most_4() -> None:
    assert 1 <= RuntimeConfig().thread_count <= 4


def test_configured_threads_are_taken_as_they_are() -> None:
    assert RuntimeConfig(threads=7).thread_count == 7


def test_relative_paths_start_at_the_folder_that_comes_with_the_validation() -> None:
    context = {"folder": Path("/etc/edgevision")}
    data = {"ca_file": "ca.pem", "cert_file": "/c.pem", "key_file": "keys/k.pem"}
    tls = TlsConfig.model_validate(data, context=context)
    assert tls.ca_file == Path("/etc/edgevision/ca.pem")
    assert tls.cert_file == Path("/c.pem")
    assert tls.key_file == Path("/etc/edgevision/keys/k.pem")


def test_a_relative_recording_starts_at_the_folder_of_the_configuration() -> None:
    camera = CameraConfig.model_validate(
        {"source": "clips/a.avi"}, context={"folder": Path("/srv")}
    )
    assert camera.source == "/srv/clips/a.avi"


@pytest.mark.parametrize("source", ["0", "/dev/video1", "rtsp://camera/a"])
def test_a_live_source_is_no_path_and_stays_as_it_is(source: str) -> None:
    camera = CameraConfig.model_validate({"source": source}, context={"folder": Path("/srv")})
    assert camera.source == source


def test_a_path_may_start_at_the_home_folder() -> None:
    camera = CameraConfig.model_validate({"source": "~/a.avi"}, context={"folder": Path("/srv")})
    assert camera.source == str(Path.home() / "a.avi")


def test_the_home_folder_of_an_unknown_user_is_refused() -> None:
    with pytest.raises(ValidationError, match="home folder of a user on this machine, got ~no-one"):
        CameraConfig(source="~no-one/a.avi")


def test_a_path_with_a_zero_character_is_refused() -> None:
    with pytest.raises(ValidationError, match="expected a path without NUL characters"):
        CameraConfig(source="a\0b.avi")


def test_a_model_beside_the_configuration_is_preferred_to_the_bundled_one(tmp_path: Path) -> None:
    own = tmp_path / "models" / "mine"
    own.mkdir(parents=True)
    data = {"cameras": {"a": CAMERA}, "model": "models/mine"}
    assert Config.model_validate(data, context={"folder": tmp_path}).model == own


def test_a_relative_model_that_is_not_there_is_looked_for_among_the_bundled_ones(
    tmp_path: Path,
) -> None:
    data = {"cameras": {"a": CAMERA}, "model": "models/absent"}
    found = Config.model_validate(data, context={"folder": tmp_path}).model
    assert found == DATA_FOLDER / "models" / "absent"


def test_a_bundled_file_is_taken_from_the_checkout(repository: Path) -> None:
    assert bundled("pyproject.toml") == repository / "pyproject.toml"


@given(st.text())
def test_any_text_is_a_source_or_is_refused(text: str) -> None:
    try:
        camera = CameraConfig.model_validate({"source": text})
    except ValidationError:
        return
    assert camera.kind is not None


def test_every_field_says_what_it_is() -> None:
    silent = []
    for section in (Config, CameraConfig, DetectionConfig, MqttConfig, RuntimeConfig, TlsConfig):
        for name, field in section.model_fields.items():
            documented = field.description or getattr(field.annotation, "__doc__", None)
            if not documented:
                silent.append(f"{section.__name__}.{name}")
    assert not silent


@given(st.text("aZ0-_/\n", max_size=3) | st.text("a0-_", min_size=60, max_size=66))
def test_a_device_is_1_to_64_lower_case_letters_digits_and_hyphens(name: str) -> None:
    fits = re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", name) is not None
    try:
        config_of(device=name)
    except ValidationError:
        assert not fits
    else:
        assert fits
