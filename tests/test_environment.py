from __future__ import annotations

import os
import subprocess
import sys


def _after_import(name: str, **environment: str) -> str:
    clean = {key: value for key, value in os.environ.items() if key != name}
    code = f"import edgevision, os; print(os.environ['{name}'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=clean | environment,
    )
    return done.stdout.strip()


def test_onnx_runtime_is_told_not_to_report_its_use_before_it_can_be_loaded() -> None:
    assert _after_import("ORT_DISABLE_TELEMETRY") == "1"


def test_images_are_bounded_to_2_27_pixels_unless_the_user_says_otherwise() -> None:
    assert _after_import("OPENCV_IO_MAX_IMAGE_PIXELS") == str(2**27)
    assert _after_import("OPENCV_IO_MAX_IMAGE_PIXELS", OPENCV_IO_MAX_IMAGE_PIXELS="5") == "5"
