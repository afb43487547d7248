"""The rules of the architecture, kept by reading the import statements."""

from __future__ import annotations

import ast
import graphlib
import statistics
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "edgevision"
TESTS = Path(__file__).parent
# Folders of tests of the whole program, from outside.
WHOLE_PROGRAM = {"arm", "fuzz", "replay", "systemd", "trace"}
MODULES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 600
MAX_MODULES = 130
MIN_MEDIAN_LINES = 170
SMALL_LINES = 80

BOARD = {"capture", "inference", "detection", "tracking"}
# What a room may import besides itself and the files at the top; as docs/architecture.md draws it.
ROOMS: dict[str, set[str]] = {
    "config": set(),
    "capture": {"config"},
    "inference": {"config"},
    "detection": {"config"},
    "tracking": {"config"},
    "mqtt": {"config"},
    "integrations": {"config", "mqtt"},
    "sinks": {"config"},
    "pipeline": {"config", *BOARD},
    "daemon": {"config", "pipeline", "mqtt", "integrations", "sinks", *BOARD},
    "evaluation": {"config", "pipeline", "mqtt", *BOARD},
    "model_builder": {"config", "capture", "inference", "detection", "evaluation"},
}
ROOMS["cli"] = set(ROOMS)

# Where a package may be named. Model building is not bound by this: it never runs on a board.
ALLOWED = {
    "motmetrics": {"evaluation/metrics.py"},
    "onnxruntime": {"inference/onnxruntime.py"},
    "paho": {"mqtt/bounded_client.py", "mqtt/connection.py"},
    "cv2": {
        "capture/opencv_camera.py",
        "capture/picture_health.py",
        "capture/recording.py",
        "capture/rotation.py",
        "cli/detect.py",
        "cli/replay.py",
        "detection/motion.py",
        "detection/snapshot.py",
        "detection/ssd.py",
        "evaluation/bench.py",
        "inference/preprocess.py",
        "tracking/zones.py",
    },
}


@dataclass(frozen=True)
class Import:
    """One imported module and the file that imports it."""

    file: Path
    module: str

    @property
    def room(self) -> str:
        """The folder of the importing file, empty at the top."""
        return self.file.parent.name if self.file.parent != PACKAGE else ""

    @property
    def target(self) -> str | None:
        """The folder of the imported file of ours, empty at the top; None for other packages."""
        own, _, rest = self.module.partition(".")
        if own != "edgevision":
            return None
        folder = rest.partition(".")[0]
        return folder if (PACKAGE / folder).is_dir() else ""


def imports_of(file: Path) -> list[Import]:
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [Import(file, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: expected absolute imports"
            assert node.module is not None
            # `from edgevision import nets` imports edgevision.nets.
            found += [
                Import(
                    file,
                    f"{node.module}.{alias.name}" if node.module == "edgevision" else node.module,
                )
                for alias in node.names
            ]
    return found


IMPORTS = [each for file in MODULES for each in imports_of(file)]


def name_of(file: Path) -> str:
    return str(file.relative_to(PACKAGE))


SLOW = frozenset({"cv2", "onnx", "onnxruntime", "paho", "tflite"})


def loaded_by(module: str, packages: frozenset[str] = SLOW) -> list[str]:
    """Return which of these packages are loaded after this import in a fresh process."""
    script = f"import sys, {module}\nprint(*sorted({set(packages)!r} & set(sys.modules)))"
    command = [sys.executable, "-c", script]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def test_every_folder_has_its_rule() -> None:
    folders = {file.parent.name for file in PACKAGE.glob("*/__init__.py")}
    assert folders == set(ROOMS)


def test_tests_stand_in_the_rooms_that_they_test() -> None:
    folders = {file.parent for file in TESTS.rglob("test_*.py")} - {TESTS}
    rooms = {folder.relative_to(TESTS).parts[0] for folder in folders}
    assert rooms - WHOLE_PROGRAM <= set(ROOMS)
    assert set(ROOMS) <= rooms


def test_the_files_at_the_top_import_no_folder() -> None:
    # `python -m edgevision` is the command line.
    wrong = [
        f"{name_of(each.file)} imports {each.module}"
        for each in IMPORTS
        if each.room == "" and each.target and each.file.name != "__main__.py"
    ]
    assert not wrong


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_the_top_and_no_room_that_it_must_not_know(room: str) -> None:
    wrong = [
        f"{name_of(each.file)} imports {each.module}"
        for each in IMPORTS
        if each.room == room and each.target and each.target not in {room, *ROOMS[room]}
    ]
    assert not wrong


def test_no_circle_of_imports_is_there_even_for_types() -> None:
    modules = {file: name_of(file).removesuffix(".py").replace("/", ".") for file in MODULES}
    names = {name.removesuffix(".__init__"): file for file, name in modules.items()}
    graph: dict[str, set[str]] = {}
    for each in IMPORTS:
        target = each.module.removeprefix("edgevision.")
        own = target == modules[each.file]  # `from edgevision import x` in edgevision/y/x.py
        if each.module.startswith("edgevision.") and target in names and not own:
            graph.setdefault(modules[each.file], set()).add(target)
    # `TopologicalSorter` raises CycleError with the circle in it.
    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_no_class_name_stands_twice() -> None:
    names = Counter(
        node.name
        for file in MODULES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_with_native_code_is_named_in_its_own_files_and_in_no_others(
    package: str,
) -> None:
    naming = {
        name_of(each.file)
        for each in IMPORTS
        if each.module.partition(".")[0] == package and each.room != "model_builder"
    }
    assert naming == ALLOWED[package]


@pytest.mark.parametrize(
    "module",
    [
        "edgevision",
        "edgevision.config.source_url",
        "edgevision.model_card",
        "edgevision.clock",
        "edgevision.config.settings",
        "edgevision.config.loader",
        "edgevision.errors",
        "edgevision.frames",
        "edgevision.cli.main",
    ],
)
def test_importing_it_loads_neither_opencv_nor_paho_nor_an_engine(module: str) -> None:
    assert loaded_by(module) == []


def test_the_command_line_limits_threads_of_matrix_products_before_numpy_is_loaded() -> None:
    assert loaded_by("edgevision.cli.main", frozenset({"numpy"})) == []
    assert loaded_by("edgevision.cli.model_app", frozenset({"numpy"})) == []


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("edgevision.capture.source", "cv2"),
        ("edgevision.mqtt.client", "paho"),
        ("edgevision.inference.onnxruntime", "onnxruntime"),
    ],
)
def test_a_room_loads_the_package_that_it_owns_and_not_the_others(
    module: str, package: str
) -> None:
    assert loaded_by(module) == [package]


@pytest.mark.parametrize(
    ("module", "loaded"),
    [
        ("edgevision.capture.worker", []),
        ("edgevision.capture.worker, edgevision.capture.picamera", []),
        ("edgevision.capture.worker, edgevision.capture.opencv_camera", ["cv2"]),
        ("edgevision.capture.worker, edgevision.capture.rotation", ["cv2"]),
    ],
)
def test_the_capture_worker_loads_nothing_but_numpy_and_what_its_camera_needs(
    module: str, loaded: list[str]
) -> None:
    heavy = SLOW | {"numpy", "picamera2", "psutil", "pydantic", "rich", "typer", "yaml"}
    assert loaded_by(module, heavy) == [*loaded, "numpy"]


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_module_fits_in_the_head(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def test_there_are_few_modules_and_they_are_deep() -> None:
    lines = [len(file.read_text(encoding="utf-8").splitlines()) for file in MODULES]
    assert len(lines) <= MAX_MODULES
    assert statistics.median(lines) >= MIN_MEDIAN_LINES


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_small_module_says_why_it_stands_alone(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    if len(text.splitlines()) < SMALL_LINES and file.name != "__init__.py":
        assert "A module of its own" in (ast.get_docstring(ast.parse(text)) or "")


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_module_begins_with_what_it_is_for(file: Path) -> None:
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    assert docstring is not None
    assert docstring.splitlines()[0].endswith((".", ":"))


def test_no_module_is_called_by_what_it_might_hold() -> None:
    nameless = {"utils", "util", "helpers", "common", "misc", "manager", "base"}
    assert not [name_of(file) for file in MODULES if file.stem in nameless]
