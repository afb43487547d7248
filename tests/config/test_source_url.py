from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.config.source_url import (
    SOURCES,
    classify_source,
    csi_number,
    device_path,
    is_loopback,
    misspelt_address,
    redact_url,
)

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=20).map(
    lambda text: f"hunter{text}"
)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("0", "device"),
        ("12", "device"),
        ("/dev/video0", "device"),
        ("/dev/v4l/by-id/usb-046d_C270-video-index0", "device"),
        ("rtsp://camera/stream", "stream"),
        ("RTSP://camera/stream", "stream"),
        ("rtsps://camera", "stream"),
        ("http://camera/video.mjpg", "stream"),
        ("https://camera/video.mjpg", "stream"),
        ("udp://@:5000", "stream"),
        ("csi", "csi"),
        ("csi:1", "csi"),
        ("csi:x", "recording"),
        ("./csi", "recording"),
        ("clip.avi", "recording"),
        ("/dev/shm/clip.avi", "recording"),  # noqa: S108
        ("./0", "recording"),
        ("²", "recording"),
        ("20240601", "recording"),
        ("ftp.example/clip.avi", "recording"),
        ("x" * 4096, "recording"),
        ("a\0b", "recording"),
    ],
)
def test_the_form_of_a_source_says_its_kind(source: str, kind: str) -> None:
    assert classify_source(source).name == kind


def test_a_folder_is_a_source_of_images(tmp_path: Path) -> None:
    assert classify_source(str(tmp_path)).name == "images"


@given(st.text())
def test_any_text_is_some_kind_of_source(text: str) -> None:
    assert classify_source(text) in SOURCES


@pytest.mark.parametrize(
    ("kind", "live"),
    [
        ("device", True),
        ("csi", True),
        ("stream", True),
        ("recording", False),
        ("images", False),
    ],
)
def test_devices_csi_cameras_and_streams_alone_are_live(kind: str, live: bool) -> None:  # noqa: FBT001
    assert {each.name: each.is_live for each in SOURCES}[kind] is live
    assert len(SOURCES) == 5


@pytest.mark.parametrize(
    ("source", "path"),
    [("0", "/dev/video0"), ("007", "/dev/video7"), ("/dev/video3", "/dev/video3")],
)
def test_a_device_number_stands_for_its_file(source: str, path: str) -> None:
    assert device_path(source) == path


@pytest.mark.parametrize(("source", "number"), [("csi", 0), ("csi:0", 0), ("csi:1", 1)])
def test_csi_stands_for_the_first_csi_camera(source: str, number: int) -> None:
    assert csi_number(source) == number


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LocalHost"])
def test_loopback_is_known_by_address_and_name(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "broker",
        "192.168.0.2",
        "0.0.0.0",
        "::",
        "fe80::1",
        "",
        # Names that may well lead to this machine: it is a resolver that says so, not the name.
        "localhost.",
        "localhost.localdomain",
        "localhost.example",
        "ip6-localhost",
        "127.0.0.1.example",
        # Other spellings of 127.0.0.1 that some resolvers take and others do not.
        "127.1",
        "2130706433",
        "0x7f000001",
        "127.0.0.1.",
        "[::1]",
    ],
)
def test_any_other_host_may_be_another_machine(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://user:secret@camera/stream", "rtsp://***@camera/stream"),
        ("rtsp://user@camera:554/stream", "rtsp://***@camera:554/stream"),
        ("rtsp://user:p@ss@camera/stream", "rtsp://***@camera/stream"),
        ("rtsp://user:p/ss?#@camera/stream", "rtsp://***@camera/stream"),
        ("http://camera/video.cgi?user=a&pwd=secret", "http://camera/video.cgi?***"),
        ("http://u:p@camera/v?pwd=secret", "http://***@camera/v?***"),
        ("rtsp://[::1", "rtsp://[::1"),
        ("rtsp://camera:554/stream", "rtsp://camera:554/stream"),
        ("clip@home?.avi", "clip@home?.avi"),
        ("0", "0"),
    ],
)
def test_user_password_and_query_of_a_url_become_stars(url: str, shown: str) -> None:
    assert redact_url(url) == shown


@given(PASSWORD, st.sampled_from(["rtsp", "http", "HTTPS", "x"]))
def test_a_password_of_any_characters_never_shows(password: str, scheme: str) -> None:
    url = f"{scheme}://admin:{password}@192.168.0.9:554/stream"
    assert redact_url(url) == f"{scheme}://***@192.168.0.9:554/stream"


@given(PASSWORD)
def test_a_password_in_a_query_never_shows(password: str) -> None:
    assert password not in redact_url(f"http://camera/video?user=a&password={password}")


@given(st.text())
def test_redacting_twice_is_redacting_once(text: str) -> None:
    assert redact_url(redact_url(text)) == redact_url(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://h/user=admin&password=pw&channel=1", "rtsp://h/user=***&password=***&channel=1"),
        ("rtsp://h/x;user=admin;password=pw", "rtsp://h/x;user=***;password=***"),
        ("rtps:/u:hunter2@cam/s", "rtps:/***@cam/s"),
    ],
)
def test_a_password_in_a_path_or_behind_a_misspelt_scheme_is_hidden(text: str, shown: str) -> None:
    assert redact_url(text) == shown


@pytest.mark.parametrize(
    "source",
    [
        "rtps://u:hunter2@cam/s",
        "http:/u:hunter2@h",
        "u:hunter2@192.168.1.5/stream",
        "rtsp//u:hunter2@cam/s",
        "//u:hunter2@cam/s",
    ],
)
def test_an_address_that_is_none_is_refused_without_its_password(source: str) -> None:
    expected = misspelt_address(source)
    assert expected is not None
    assert expected.startswith("expected ")
    assert "hunter2" not in expected
