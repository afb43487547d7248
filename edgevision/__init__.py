"""Real-time object detection for small ARM boards, published over MQTT."""

import os

__version__ = "0.1.0"

# Libraries read these when they are loaded, so they are set before anything can load them.
# ONNX Runtime's packages report their use to Microsoft unless told not to. OpenCV's and
# FFmpeg's own messages go to stderr without a time or a camera's name; what matters in them
# comes back as a failed call and is said by us. An image may have at most 2^27 pixels (8K is
# 2^25); OpenCV's own bound of 2^30 would fill a board's memory.
for _name, _value in {
    "ORT_DISABLE_TELEMETRY": "1",
    "OPENCV_LOG_LEVEL": "SILENT",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",
    "OPENCV_IO_MAX_IMAGE_PIXELS": str(1 << 27),
}.items():
    os.environ.setdefault(_name, _value)
