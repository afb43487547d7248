"""Real-time object detection for small ARM boards, published over MQTT."""

import os
from collections.abc import MutableMapping

__version__ = "0.1.0"

# Libraries read these when they are loaded, so they are set before anything can load them.
# ONNX Runtime's packages report their use to Microsoft unless this is set. OpenCV's and FFmpeg's
# own messages go to stderr without a time or a camera's name; what matters in them comes back as
# a failed call, which edgevision reports. An image may have at most 2^27 pixels (8K is 2^25);
# OpenCV's own bound of 2^30 would fill a board's memory.
for _name, _value in {
    "ORT_DISABLE_TELEMETRY": "1",
    "OPENCV_LOG_LEVEL": "SILENT",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",
    "OPENCV_IO_MAX_IMAGE_PIXELS": str(1 << 27),
}.items():
    os.environ.setdefault(_name, _value)

# How many threads a matrix product may use: OpenBLAS (the wheels, Debian), BLIS, MKL and Apple's
# Accelerate.
BLAS_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def limit_blas(threads: int, environment: MutableMapping[str, str], *, force: bool = False) -> None:
    """Set how many threads NumPy's matrix products may use.

    BLAS reads the setting once, when NumPy is loaded: call this before anything imports NumPy.

    Args:
        threads: the number of threads.
        environment: this process's.
        force: also where the user has set a number.
    """
    for name in BLAS_VARIABLES:
        if force or name not in environment:
            environment[name] = str(threads)
