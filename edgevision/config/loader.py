"""Reading a configuration from YAML and the environment; every fault is reported with its line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from edgevision.config.faults import Fault, dotted_path, shown
from edgevision.config.settings import Config
from edgevision.errors import ConfigError
from edgevision.files import read_regular

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edgevision.config.faults import KeyPath

ENVIRONMENT_PREFIX = "EDGEVISION_"
MAX_FILE_BYTES = 1 << 20
MAX_NODES = 20_000


def load_config(path: Path, environ: Mapping[str, str]) -> Config:
    """Read a configuration file; settings in the environment override it.

    `EDGEVISION_MQTT__HOST=broker` sets `mqtt.host`; values are YAML scalars.

    Raises:
        ConfigError: with every fault, each as `FILE:LINE: path.to.key: expected …, got …`.
    """
    tree, lines = _read_yaml(path)
    places: dict[KeyPath, str] = {key: f"{path.name}:{line}" for key, line in lines.items()}
    for name, text in sorted(environ.items()):
        if name.startswith(ENVIRONMENT_PREFIX):
            key = _spelled_as_in(tree, name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"))
            _set(tree, key, _environment_value(name, text), name)
            for depth in range(1, len(key)):
                places.setdefault(key[:depth], f"environment {name}")
            places[key] = f"environment {name}"
    context = {"folder": path.resolve().parent}
    faults: list[Fault] = []
    # Pydantic checks combinations in a section only once its single values are valid. So faulty
    # keys are removed and the rest is validated again, until no new fault is found.
    while True:
        try:
            config = Config.model_validate(tree, context=context)
        except ValidationError as error:
            found = [Fault(detail, tree) for detail in error.errors(include_url=False)]
        else:
            found = []
            if not faults:
                return config
        removed = [fault.key for fault in faults]
        new = [fault for fault in found if not fault.follows_from(removed)]
        faults += new
        if not [fault for fault in new if fault.remove_from(tree)]:
            break
    faults.sort(key=lambda fault: lines.get(fault.known_path(lines), 0))
    raise ConfigError(*dict.fromkeys(fault.render(places, path.name) for fault in faults))


def with_places(path: Path, error: ConfigError) -> ConfigError:
    """Prepend file and line to faults that start with a key, as `detection.labels: …`.

    For faults that appear only when a configuration is used: labels that the model does not have,
    files that cannot be read.
    """
    _, lines = _read_yaml(path)
    placed = []
    for fault in error.faults:
        key = tuple(fault.partition(":")[0].split("."))
        while key and key not in lines:
            key = key[:-1]
        placed.append(f"{path.name}:{lines[key]}: {fault}" if key else fault)
    return type(error)(*placed)


def _environment_value(name: str, text: str) -> object:
    if name.endswith("PASSWORD"):
        return text
    try:
        return _Loader(text).get_single_data()
    except (yaml.YAMLError, RecursionError):
        return text


def _spelled_as_in(tree: dict[str, Any], parts: list[str]) -> KeyPath:
    """Return the path, with existing keys in the spelling of the file.

    A variable's name has no hyphens and is not case-sensitive: FRONT_DOOR is `front-door` if there
    is such a key.
    """
    path: list[str] = []
    node: object = tree
    for part in parts:
        known = node if isinstance(node, dict) else {}
        plain = {str(key).lower().replace("-", "_"): key for key in known}
        key = part if part in known else plain.get(part, part)
        path.append(str(key))
        node = known.get(key)
    return tuple(path)


def _set(tree: dict[str, Any], key: KeyPath, value: object, name: str) -> None:
    node = tree
    for depth, part in enumerate(key[:-1], start=1):
        if node.get(part) is None:  # absent, or a section whose keys are all commented out
            node[part] = {}
        child = node[part]
        if not isinstance(child, dict):
            above = key[:depth]
            fault = (
                f"environment {name}: {dotted_path(above)}: expected a section with keys, got "
                f"{shown(child, above)}"
            )
            raise ConfigError(fault)
        node = child
    node[key[-1]] = value


def _read_yaml(path: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """Return the file's tree and the line of every key in it."""
    try:
        content = read_regular(path, MAX_FILE_BYTES)
    except OSError as error:
        fault = f"{path}: cannot be read ({error.strerror}); give a file with --config"
        raise ConfigError(fault) from None
    if len(content) > MAX_FILE_BYTES:
        fault = f"{path}: expected at most {MAX_FILE_BYTES} bytes, got more"
        raise ConfigError(fault)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        fault = (
            f"{path.name}:{line}: expected UTF-8 text, got byte 0x{content[error.start]:02x}; "
            "save the file as UTF-8"
        )
        raise ConfigError(fault) from None
    try:
        return _parse(text, path.name)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = error.problem or error.context or "it cannot be read"
        before = (mark.buffer or "")[: mark.pointer].rpartition("\n")[2] if mark else ""
        if "password" in before.lower():  # the parser may quote what follows
            problem = problem.partition("'")[0].rstrip()
        fault = f"{path.name}:{line}: expected valid YAML, got an error: {problem}"
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        fault = f"{path.name}:{line}: expected text, got the character {error.character:#06x}"
    except RecursionError:
        fault = f"{path.name}:1: expected a few levels of nesting, got hundreds"
    raise ConfigError(fault) from None


class _Loader(yaml.SafeLoader):
    """YAML's plain types without dates; a value that cannot be read is a fault with its line."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as PyYAML has it
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - as PyYAML has it
        """Return the value of a node."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError):  # from its own number and date code
            kind = node.tag.rpartition(":")[2]
            problem = f"this cannot be read as {kind}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


def _parse(text: str, name: str) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return {}, {}
        lines: dict[KeyPath, int] = {}
        faults: list[str] = []
        _walk(root, (), lines, faults, name)
        if faults:
            raise ConfigError(*faults)
        tree = loader.construct_document(root)
    finally:
        loader.dispose()
    if not isinstance(tree, dict):
        fault = f"{name}:1: expected keys such as 'cameras:', got {shown(tree)}"
        raise ConfigError(fault)
    return tree, lines


def _walk(
    node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], faults: list[str], name: str
) -> None:
    """Note the line of every key, and as faults keys that occur twice or are not scalars."""
    if len(lines) > MAX_NODES:
        fault = f"{name}: expected at most {MAX_NODES} values, got more"
        raise ConfigError(fault)
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*path, str(index)), lines, faults, name)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            dotted = dotted_path(path) or "file"
            faults.append(f"{name}:{line}: {dotted}: expected a plain key, got a list or section")
            continue
        key = (*path, key_node.value)
        if key_node.value in seen:
            again = f"got it again (first on line {lines[key]})"
            faults.append(f"{name}:{line}: {dotted_path(key)}: expected each key once, {again}")
        seen.add(key_node.value)
        lines[key] = line
        _walk(value_node, key, lines, faults, name)
