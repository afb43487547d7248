from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from edgevision.mqtt.contract import MESSAGES, asyncapi, schema
from edgevision.mqtt.message import Topics
from edgevision.mqtt.payloads import DetectionRecord, DetectionsMessage, LatencyRecord, rfc3339

DOCS = Path(__file__).parents[2] / "docs"
MOMENT = datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC)


def _detections(**changed: object) -> DetectionsMessage:
    fields: dict[str, object] = {
        "device": "porch",
        "camera": "yard",
        "frame": 7,
        "captured_at": MOMENT,
        "frame_size": (640, 480),
        "model": "m",
        "backend": "onnxruntime",
        "latency_ms": LatencyRecord(
            capture=1, preprocess=2, inference=3, decode=4, tracking=5, total=15
        ),
        "detections": (DetectionRecord(label="Cat", score=0.123456, box=(0.1, 0.2, 0.3, 0.4)),),
    }
    return DetectionsMessage.model_validate(fields | changed)


def test_a_detections_message_has_exactly_the_keys_of_the_contract() -> None:
    assert list(json.loads(_detections().encode())) == [
        "schema_version",
        "device",
        "camera",
        "frame",
        "captured_at",
        "frame_size",
        "model",
        "backend",
        "latency_ms",
        "detections",
    ]


def test_times_are_rfc_3339_in_utc_with_microseconds() -> None:
    east = MOMENT.astimezone(timezone(timedelta(hours=2)))
    assert rfc3339(east) == "2026-01-31T12:00:00.000005Z"
    assert json.loads(_detections(captured_at=east).encode())["captured_at"] == rfc3339(MOMENT)


def test_scores_and_boxes_are_rounded_to_5_decimals() -> None:
    assert json.loads(_detections().encode())["detections"][0]["score"] == 0.12346


def test_a_detection_names_the_object_it_belongs_to_once_that_is_known() -> None:
    detection = DetectionRecord(label="Cat", score=0.5, box=(0, 0, 1, 1), track_id="a-1")
    (found,) = json.loads(_detections(detections=(detection,)).encode())["detections"]
    assert found["track_id"] == "a-1"
    assert "track_id" not in json.loads(_detections().encode())["detections"][0]


def test_a_box_outside_the_frame_is_refused() -> None:
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        DetectionRecord(label="Cat", score=0.5, box=(0.0, 0.0, 1.5, 1.0))


def test_a_message_validates_against_the_exported_schema() -> None:
    document = schema() | {"$ref": "#/$defs/DetectionsMessage"}
    jsonschema.validate(json.loads(_detections().encode()), document)


def test_the_schema_has_a_definition_for_each_message_and_allows_no_other_keys() -> None:
    definitions = schema()["$defs"]
    for message in MESSAGES:
        assert definitions[message.__name__]["additionalProperties"] is False


def test_the_asyncapi_document_refers_only_to_what_it_holds() -> None:
    document = asyncapi()
    for pointer in _references(document):
        node = document
        for part in pointer.removeprefix("#/").split("/"):
            node = node[part]
        assert node


def test_the_asyncapi_document_has_the_topics_of_objects_with_a_text_for_each_parameter() -> None:
    channels = asyncapi()["channels"].values()
    topics = Topics("{prefix}")
    addresses = {
        topics.events("{camera}"): {"prefix", "camera"},
        topics.count("{camera}", None, "{label}"): {"prefix", "camera", "label"},
        topics.count("{camera}", "{zone}", "{label}"): {"prefix", "camera", "zone", "label"},
        topics.line_count("{camera}", "{line}"): {"prefix", "camera", "line"},
        topics.snapshot("{camera}", "{label}"): {"prefix", "camera", "label"},
        topics.snapshot("{camera}", None): {"prefix", "camera"},
    }
    found = {each["address"]: each["parameters"].keys() for each in channels}
    assert {address: found.get(address) for address in addresses} == addresses


def test_the_asyncapi_document_says_that_counts_are_text_and_snapshots_jpeg() -> None:
    messages = asyncapi()["components"]["messages"]
    assert messages["Count"]["contentType"] == "text/plain"
    assert messages["Snapshot"]["contentType"] == "image/jpeg"


@pytest.mark.parametrize(
    ("name", "document"), [("mqtt.schema", schema()), ("asyncapi", asyncapi())]
)
def test_the_documents_in_docs_are_those_of_the_code(name: str, document: object) -> None:
    found = json.loads((DOCS / f"{name}.json").read_text(encoding="utf-8"))
    assert found == json.loads(json.dumps(document)), "run `make schema`"


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [ref for value in node.values() for ref in _references(value)]
    if isinstance(node, list):
        return [ref for value in node for ref in _references(value)]
    return []
