"""Inputs from samples: damaged at random, from numbers that give the same damage each time."""

from __future__ import annotations

import copy
import io
import itertools
import json
import random
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NUMBERS = (0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 1 << 24, 1 << 31, 1 << 32)
LARGE = tuple(number - back for number in (1 << 16, 1 << 31, 1 << 32, 1 << 63) for back in (0, 1))
HEADER = 512


def nested(opening: str, depth: int, closing: str = "") -> str:
    return opening * depth + closing * depth


ODD_TEXTS = (
    "",
    " ",
    "\0",
    "\ud800",
    "\u202e\u200b\ufeff",
    "\x1b[2J\x07",
    "e\u0301" * 50,
    "x" * 5000,
    "../../../etc/passwd",
    "/dev/zero",
    "/dev/stdin",
    "rtsp://user:password@host:99999999/\n",
    "://",
    "%s%n{0}${HOME}",
    "[/red]",
    "1" * 5000,
    "1e400",
    "NaN",
    "0x_",
    "1:2:3",
    "2026-13-45T99:99:99Z",
    "0001-01-01T00:00:00+14:00",
)
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1 << 31,
    1 << 63,
    -(1 << 63) - 1,
    10**300,
    0.1,
    1e308,
    float("nan"),
    float("inf"),
    [],
    {},
    [[]],
    {"": {}},
    [1] * 1000,
    *ODD_TEXTS,
)


def damaged_bytes(samples: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the samples themselves, then damaged ones without end."""
    yield from samples
    for seed in itertools.count():
        rng = random.Random(seed)
        yield damage(rng, rng.choice(samples), samples)


def damage(rng: random.Random, sample: bytes, others: Sequence[bytes]) -> bytes:
    content = bytearray(sample)
    for _ in range(rng.choice((1, 1, 2, 3, 5, 9))):
        if not content:
            break
        # Half of all faults in the header, where sizes and types stand.
        end = min(len(content), HEADER) if rng.random() < 0.5 else len(content)
        at = rng.randrange(end)
        length = min(rng.choice((1, 2, 4, 8, 64, 1000)), len(content) - at)
        kind = rng.randrange(8)
        if kind == 0:
            content[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            content[at] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif kind == 2:
            value = rng.choice(NUMBERS + LARGE)
            width = rng.choice((1, 2, 4, 8))
            order = rng.choice(("little", "big"))
            content[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, order)
        elif kind == 3:
            del content[at : at + length]
        elif kind == 4:
            content[at:at] = content[at : at + length] * rng.choice((1, 2, 50))
        elif kind == 5:
            content[at:at] = rng.randbytes(length)
        elif kind == 6:
            del content[at:]
        else:
            other = rng.choice(others)
            begin = rng.randrange(len(other) + 1)
            content[at : at + length] = other[begin : begin + length]
    return bytes(content)


def damaged_texts(samples: Sequence[str], words: Sequence[str]) -> Iterator[bytes]:
    """Yield texts with lines and words changed, moved, repeated or left out."""
    plain = [sample.encode() for sample in samples]
    yield from plain
    for seed in itertools.count():
        rng = random.Random(seed)
        if rng.random() < 0.3:
            yield damage(rng, rng.choice(plain), plain)
            continue
        lines = rng.choice(samples).splitlines()
        for _ in range(rng.choice((1, 2, 4))):
            at = rng.randrange(len(lines))
            kind = rng.randrange(6)
            if kind == 0:
                del lines[at]
            elif kind == 1:
                lines.insert(at, rng.choice(lines))
            elif kind == 2:
                lines[at] = " " * rng.randrange(8) + lines[at].strip()
            elif kind == 3:
                key, colon, _ = lines[at].partition(":")
                lines[at] = f"{key}{colon} {rng.choice((*ODD_TEXTS, *words))}"
            elif kind == 4:
                parts = lines[at].split(" ")
                parts[rng.randrange(len(parts))] = rng.choice((*ODD_TEXTS, *words))
                lines[at] = " ".join(parts)
            else:
                lines[at] = f"{rng.choice(words)}: {rng.choice((*ODD_TEXTS, *words))}"
            if not lines:
                lines = [""]
        yield "\n".join(lines).encode("utf-8", "surrogatepass")


def damaged_json(samples: Sequence[Any]) -> Iterator[bytes]:
    """Yield JSON with values changed, moved, or left out, and some that is no JSON."""
    plain = [json.dumps(sample).encode() for sample in samples]
    yield from plain
    for seed in itertools.count():
        rng = random.Random(seed)
        if rng.random() < 0.2:
            yield damage(rng, rng.choice(plain), plain)
        else:
            changed = change(rng, copy.deepcopy(rng.choice(samples)), samples)
            yield json.dumps(changed).encode("utf-8", "surrogatepass")


def change(rng: random.Random, tree: Any, samples: Sequence[Any]) -> Any:
    for _ in range(rng.choice((1, 1, 2, 4))):
        node = tree
        for _depth in range(rng.randrange(6)):
            below = node.values() if isinstance(node, dict) else node
            inner = [each for each in below if isinstance(each, dict | list) and each]
            if not inner:
                break
            node = rng.choice(inner)
        if not node:
            continue
        key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
        kind = rng.randrange(4)
        if kind == 0:
            del node[key]
        elif kind == 1:
            node[key] = copy.deepcopy(samples[rng.randrange(len(samples))])
        elif kind == 2 and isinstance(node, dict):
            node[rng.choice(ODD_TEXTS)] = node.pop(key)
        else:
            node[key] = copy.deepcopy(rng.choice(ODD_VALUES))
    return tree


def damaged_archives(plan: dict[str, Any], arrays: dict[str, Any]) -> Iterator[bytes]:
    """Yield .npz files whose plan, arrays, headers or packing are not what they should be."""
    good = archive({"plan": np.frombuffer(json.dumps(plan).encode(), np.uint8), **arrays})
    yield good
    for seed in itertools.count():
        rng = random.Random(seed)
        if rng.random() < 0.3:
            yield damage(rng, good, [good])
            continue
        layers = plan if rng.random() < 0.3 else change(rng, copy.deepcopy(plan), [plan])
        text = json.dumps(layers).encode("utf-8", "surrogatepass")
        entries = {"plan": np.frombuffer(text, np.uint8), **arrays}
        for name in rng.sample(list(entries), rng.randrange(3)):
            entries[name] = _odd_array(rng, entries[name])
        yield archive(entries, deflated=rng.random() < 0.2, seed=seed)


def _odd_array(rng: random.Random, array: Any) -> Any:
    dtypes = (np.float64, np.int8, np.complex64, np.bool_, "U3", "O")
    kind = rng.randrange(5)
    if kind == 0:
        return np.zeros(rng.choice([(), (0,), (1, 1), (1 << 20,), (2, 0, 3)]), array.dtype)
    if kind == 1:
        return array.astype(rng.choice(dtypes))
    if kind == 2:
        return np.asfortranarray(array)
    if kind == 3:
        return np.full(array.shape, rng.choice((0, 255)), array.dtype) * array.dtype.type(1)
    return np.array([{"a": 1}, print], object)


def archive(entries: dict[str, Any], *, deflated: bool = False, seed: int = 0) -> bytes:
    rng = random.Random(seed)
    file = io.BytesIO()
    packing = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", packing) as packed:
        for name, array in entries.items():
            entry = io.BytesIO()
            np.lib.format.write_array(entry, np.asarray(array), allow_pickle=True)
            content = entry.getvalue()
            if seed and rng.random() < 0.1:
                content = damage(rng, content, [content])
            packed.writestr(f"{name}.npy", content)
    return file.getvalue()


def packets(version: int) -> Iterator[bytes]:
    """Yield what a broker may send, well-formed and not, after a CONNACK or in its place."""
    accepted = bytes([0x20, 3, 0, 0, 0] if version == 5 else [0x20, 2, 0, 0])
    known = [
        accepted,
        bytes([0x90, 4, 0, 1, 0, 1]),
        bytes([0x40, 2, 0, 1]),
        bytes([0xD0, 0]),
        bytes([0xE0, 1, 0x8E]),
        b"\x30\x08\x00\x03t/a\x00hi",
        b"\x32\x0a\x00\x03t/a\x00\x01\x00hi",
        b"\x20\x15\x00\x00\x12\x21\x00\x0a\x27\x00\x00\x10\x00\x13\x00\x05\x1f\x00\x05words",
    ]
    yield from known
    for seed in itertools.count():
        rng = random.Random(seed)
        begin = accepted if rng.random() < 0.7 else b""
        parts = [damage(rng, rng.choice(known), known) for _ in range(rng.randrange(1, 5))]
        yield begin + (rng.randbytes(rng.randrange(40)) if rng.random() < 0.1 else b"".join(parts))


def png(width: int, height: int) -> bytes:
    """Return the beginning of a PNG that declares this size, with right checksums."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    check = struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + check
