"""An RTSP camera on loopback, by GStreamer's server; run by the system's Python, which has gi.

    rtsp_camera.py PORT FOLDER CODEC [USER PASSWORD]

Shows FOLDER/00.jpg, 01.jpg, … ten times a second for ever at /cam, as h264 or jpeg. Says `ready`.
"""
# mypy: ignore-errors

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402 - the versions come first

ENCODERS = {
    "jpeg": "jpegparse ! rtpjpegpay name=pay0 pt=26",
    "h264": (
        "jpegdec ! videoconvert ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 "
        "! rtph264pay name=pay0 pt=96 config-interval=1"
    ),
}
ROLE = "viewer"


def main(port: str, folder: str, codec: str, *login: str) -> None:
    Gst.init(None)
    factory = GstRtspServer.RTSPMediaFactory()
    pictures = f'multifilesrc location={folder}/%02d.jpg loop=true caps="image/jpeg,framerate=10/1"'
    factory.set_launch(f"( {pictures} ! identity sync=true ! {ENCODERS[codec]} )")
    factory.set_shared(True)
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=port)
    if login:
        token = GstRtspServer.RTSPToken()
        token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, ROLE)
        auth = GstRtspServer.RTSPAuth()
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(*login), token)
        server.set_auth(auth)
        may = GstRtspServer.RTSPPermissions()
        for permission in ("media.factory.access", "media.factory.construct"):
            may.add_permission_for_role(ROLE, permission, True)  # noqa: FBT003 - takes no keyword
        factory.set_permissions(may)
    server.get_mount_points().add_factory("/cam", factory)
    server.attach(None)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
