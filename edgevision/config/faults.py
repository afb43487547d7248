"""Faults of a configuration, reported as `FILE:LINE: path.to.key: expected …, got …`.

`Fault` words what pydantic finds. `scene_faults` and `label_faults` compare the labels of a
configuration with those of its model, which pydantic does not know.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from pydantic import BaseModel

from edgevision.config.settings import Config
from edgevision.config.source_url import redact_url
from edgevision.model_card import known_labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pydantic_core import ErrorDetails

    from edgevision.model_card import Model

KeyPath: TypeAlias = tuple[str, ...]

# Texts for the patterns of settings, and for the first part of pydantic's error types.
_PATTERNS = {
    r"^[a-z0-9][a-z0-9_-]{0,63}$": "1 to 64 lower-case letters, digits, - or _",
    r"^[^/@\s]+$": "a host name or address alone, without mqtt:// or a port",
    r"^[A-Z0-9]{4}$": "four capital letters or digits such as MJPG",
}

_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string_type": "text",
    "string_unicode": "text without unpaired surrogates",
    "string_too_short": "at least {min_length} character",
    "string_too_long": "at most {max_length} characters",
    "path_type": "a path",
    "dict_type": "a section with keys",
    "model": "a section with keys",
    "tuple_type": "a list",
    "too_short": "at least {min_length} entry",
    "too_long": "at most {max_length} entries",
    "literal_error": "{expected}",
    "greater_than_equal": "a number of at least {ge:g}",
    "greater_than": "a number above {gt:g}",
    "less_than_equal": "a number of at most {le:g}",
    "less_than": "a number below {lt:g}",
    "finite_number": "a finite number",
}


class Fault:
    """One pydantic error, worded as `expected …, got …`."""

    def __init__(self, detail: ErrorDetails, tree: dict[str, Any]) -> None:
        """Take over the error; `tree` is the configuration in which it was found."""
        self._type = detail["type"]
        self._context = detail.get("ctx", {})
        self._message = detail["msg"]
        self._input = detail["input"]
        # Only keys that the user wrote: pydantic adds levels such as '[key]' or the name of a type.
        self._path = _existing(detail["loc"], tree, missing=self._type == "missing")
        self._is_key = bool(detail["loc"]) and detail["loc"][-1] == "[key]"

    @property
    def key(self) -> KeyPath:
        """Return the path of the faulty key."""
        return self._path

    def follows_from(self, removed: list[KeyPath]) -> bool:
        """Return whether the fault is only that one of the `removed` keys is now missing."""
        if self._type == "missing":
            return self._path in removed
        if self._type == "too_short":
            return any(key[:-1] == self._path for key in removed)
        named = re.findall(r"\w+", self.sentence()) if self._type == "value_error" else []
        return any(key[:-1] == self._path and key[-1] in named for key in removed if key)

    def remove_from(self, tree: dict[str, Any]) -> bool:
        """Remove the faulty key from the tree; False if that would remove a whole section."""
        node: Any = tree
        for part in self._path[:-1]:
            node = node.get(part) if isinstance(node, dict) else None
        if not self._path or not isinstance(node, dict) or self._path[-1] not in node:
            return False
        if self._type == "value_error" and isinstance(node[self._path[-1]], dict):
            return False
        del node[self._path[-1]]
        return True

    def known_path(self, places: Mapping[KeyPath, object]) -> KeyPath:
        """Return the faulty key, or else its nearest section, that has a place."""
        path = self._path
        while path and path not in places:
            path = path[:-1]
        return path

    def render(self, places: dict[KeyPath, str], file_name: str) -> str:
        """Return the fault as `FILE:LINE: path.to.key: expected …, got …`."""
        place = places.get(self.known_path(places), f"{file_name}:1")
        dotted = dotted_path(self._path)
        return f"{place}: {dotted}: {self.sentence()}" if dotted else f"{place}: {self.sentence()}"

    def sentence(self) -> str:
        """Return the fault without its place: `expected …, got …`."""
        if self._type == "value_error":
            return str(self._context["error"])
        if self._type == "missing":
            return "expected a value, got none: the key is required"
        if self._type == "extra_forbidden":
            return self._unknown_key()
        return f"expected {self._expected()}, got {shown(self._input, self._path)}"

    def _expected(self) -> str:
        kind, context = self._type, self._context
        if kind == "invalid_key" or (self._is_key and kind == "string_type"):
            return "text as a key, in quotes if necessary"
        if kind == "string_pattern_mismatch":
            return _PATTERNS.get(context["pattern"], f"text like {context['pattern']}")
        for prefix, expected in _EXPECTED.items():
            if kind.startswith(prefix):
                return expected.format(**context)
        return self._message

    def _unknown_key(self) -> str:
        known = _known_keys(self._path[:-1])
        close = difflib.get_close_matches(self._path[-1], known, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        return f"expected one of {', '.join(known)}; got an unknown key{hint}"


def scene_faults(model: Model, config: Config) -> Iterator[str]:
    """Yield a sentence for each label of scenes and entities that is unknown or not detected."""
    yield from label_faults(model, "homeassistant.labels", config.homeassistant.labels or ())
    for name, camera in config.cameras.items():
        looked_for = config.detection_of(name).labels
        for part in ("zones", "lines", "masks"):
            for own, section in getattr(camera, part).items():
                key = f"cameras.{name}.{part}.{own}"
                yield from label_faults(model, f"{key}.labels", section.labels or ())
                for label in section.labels or ():
                    if looked_for is not None and label not in looked_for:
                        expected = f"expected labels that are detected ({', '.join(looked_for)})"
                        yield f"{key}.labels: {expected}, got {label!r}; see detection.labels"
        for own, zone in camera.zones.items():
            yield from label_faults(model, f"cameras.{name}.zones.{own}.filters", zone.filters)


def label_faults(model: Model, key: str, labels: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each label that the model does not have.

    Args:
        model: the model of the configuration.
        key: path of the setting that names the labels.
        labels: the labels that it names.
    """
    known = known_labels(model)
    plain = {name.lower(): name for name in known}
    for label in labels:
        if label not in known:
            close = difflib.get_close_matches(label.lower(), plain, n=1)
            hint = f" (did you mean {plain[close[0]]}?)" if close else ""
            expected = f"expected labels of {model.card.name} ({', '.join(known)})"
            yield f"{key}: {expected}, got {label!r}{hint}"


def dotted_path(path: KeyPath) -> str:
    """Return a key's path as text; `password hunter2:`, with its colon missing, as `password…`."""
    shortened = (re.sub(r"(?is)(password)(?!_file$).+", r"\1…", key) for key in path)
    return ".".join(key if key.isprintable() else repr(key)[1:-1] for key in shortened)


def shown(value: object, path: KeyPath = ()) -> str:
    """Return a value as YAML would show it, shortened and without passwords."""
    hidden = any("password" in key for key in path)
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return f"a section with {len(value)} keys"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    try:
        text = redact_url(repr(value))
    except ValueError:  # Python's limit for the digits of a whole number
        text = "a number with thousands of digits"
    if hidden or "password" in text.lower():
        return "something else"
    return text if len(text) <= 80 else f"{text[:77]}…"


def _existing(location: tuple[int | str, ...], tree: dict[str, Any], *, missing: bool) -> KeyPath:
    path: list[str] = []
    node: object = tree
    for index, part in enumerate(location):
        last = index == len(location) - 1
        in_list = isinstance(node, list) and isinstance(part, int) and part < len(node)
        if in_list or (isinstance(node, dict) and part in node):
            node = node[part]  # type: ignore[index]
        elif not (missing and last):
            continue
        path.append(str(part))
    return tuple(path)


def _known_keys(path: KeyPath) -> list[str]:
    """Return the keys of the section at this path, by walking the model's annotations."""
    section: type[BaseModel] = Config
    for part in path:
        field = section.model_fields.get(part)
        if field is not None:
            section = next(_sections(field.annotation), section)
    return [field.alias or name for name, field in section.model_fields.items()]


def _sections(annotation: object) -> Any:  # noqa: ANN401 - an iterator over model classes
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _sections(argument)
