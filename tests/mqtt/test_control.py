"""Requests as bytes: what is taken, and in what words the rest is refused."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.mqtt.contract import schema
from edgevision.mqtt.requests import (
    VERBS,
    CameraRequest,
    EmptyRequest,
    OneCameraRequest,
    RequestError,
    ResetRequest,
    ResponseMessage,
    SnapshotData,
    ThresholdRequest,
    parse_request,
    verb_of,
)


@pytest.mark.parametrize(
    ("verb", "payload", "taken"),
    [
        ("camera", {"camera": "yard", "enabled": False}, CameraRequest),
        ("enable", {"camera": "yard"}, OneCameraRequest),
        ("disable", {"camera": "yard", "transaction": 7}, OneCameraRequest),
        ("threshold", {"min_score": 0.5}, ThresholdRequest),
        ("threshold", {"camera": "yard", "label": "Person", "min_score": 0.5}, ThresholdRequest),
        ("snapshot", {"camera": "yard"}, OneCameraRequest),
        ("reset", {"camera": "yard"}, ResetRequest),
        ("reset", {"camera": "yard", "line": "gate", "transaction": "a"}, ResetRequest),
        ("reload", {}, EmptyRequest),
        ("info", {"transaction": "x" * 128}, EmptyRequest),
    ],
)
def test_every_request_of_the_contract_is_taken(
    verb: str, payload: dict[str, Any], taken: type
) -> None:
    found = parse_request(verb, json.dumps(payload).encode())
    assert type(found.payload) is taken
    assert found.payload.model_dump(exclude_unset=True) == payload
    jsonschema.validate(payload, schema() | {"$ref": f"#/$defs/{taken.__name__}"})


def test_an_empty_payload_stands_for_an_empty_object() -> None:
    assert parse_request("info", b"").payload == EmptyRequest()


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"{", "expected a JSON object, got a fault at character 2: "),
        (b"on", "expected a JSON object, got a fault at character 1: Expecting value"),
        (b"[]", "expected a JSON object, got a list of 0"),
        (b"true", "expected a JSON object, got true"),
        (b'{"camera": "yard", "enabled": NaN}', "expected JSON, got NaN"),
        (b'{"camera": "a", "camera": "b"}', "expected each key once, got 'camera' again"),
        (b"\xff\xfe", "expected JSON in UTF-8, got other bytes"),
        (b"[" * 4000, "expected a JSON object without nesting, got hundreds of levels"),
        (b'{"camera": "a", "enabled": true, "x": 1}', "expected one of the keys transaction, "),
        (b'{"camera": "a"}', "enabled: expected a value, got none: the key is required"),
        (b'{"camera": "a", "enabled": "true"}', "enabled: expected true or false, got 'true'"),
        (b'{"camera": "a", "enabled": 1}', "enabled: expected true or false, got 1"),
        (b'{"camera": 1, "enabled": true}', "camera: expected text, got 1"),
        (b"{}" + b" " * 4095, "expected a payload of at most 4096 bytes, got a larger one"),
        (b'{"transaction": true}', "transaction: expected text of at most 128 characters or a "),
        (b'{"transaction": 1.5}', "transaction: expected text of at most 128"),
        (b'{"transaction": "\\udfff"}', "transaction: expected text of at most 128"),
        (b'{"transaction": 9007199254740992}', "transaction: expected text of at most 128"),
        (b'{"transaction": "' + b"x" * 129 + b'"}', "transaction: expected text of at most 128"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_in_one_line(payload: bytes, words: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_request("camera", payload)
    assert str(caught.value).startswith(words)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("score", "words"),
    [
        ("1", "a number below 1, got 1"),
        ("0", "a number above 0, got 0"),
        ("-0.5", "a number above 0, got -0.5"),
        ("1e400", "a number below 1, got inf"),
        ("true", "a number, got true"),
        ('"0.5"', "a number, got '0.5'"),
        ("null", "a number, got nothing"),
        ("9" * 4000, "a number, got 9999"),
    ],
)
def test_a_score_is_a_number_between_0_and_1(score: str, words: str) -> None:
    with pytest.raises(RequestError, match=f"^min_score: expected {words}"):
        parse_request("threshold", b'{"min_score": %s}' % score.encode())


@pytest.mark.parametrize("verb", ["restart", "", None, "Info"])
def test_an_unknown_verb_is_refused_with_those_that_there_are(verb: str | None) -> None:
    with pytest.raises(RequestError, match="expected one of the requests camera, enable, "):
        parse_request(verb, b"{}")


def test_a_retained_request_is_refused_and_its_transaction_is_known() -> None:
    with pytest.raises(RequestError, match="expected a request that is not retained") as caught:
        parse_request("reload", b'{"transaction": "t1"}', retained=True)
    assert caught.value.transaction == "t1"


def test_the_transaction_of_a_request_with_wrong_types_is_known() -> None:
    with pytest.raises(RequestError) as caught:
        parse_request("enable", b'{"camera": 1, "transaction": 42}')
    assert caught.value.transaction == 42


@pytest.mark.parametrize(
    ("topic", "verb"),
    [
        ("p/request/info", "info"),
        ("p/request/no_such_verb", "no_such_verb"),
        ("p/request/" + "x" * 32, "x" * 32),
        ("p/request/" + "x" * 33, None),
        ("p/request/", None),
        ("p/request/Info", None),
        ("p/request/info\n", None),
        ("info", "info"),
    ],
)
def test_a_verb_is_what_a_response_can_be_published_under(topic: str, verb: str | None) -> None:
    assert verb_of(topic) == verb


KEYS = st.sampled_from(["camera", "enabled", "label", "line", "min_score", "transaction", "x"])
VALUES = st.sampled_from([None, True, 0, -1, 0.5, 2**64, float("inf"), "", "yard", [], {"a": 1}])


@given(
    verb=st.sampled_from(sorted(VERBS)),
    payload=st.binary(max_size=40)
    | st.dictionaries(KEYS, VALUES).map(lambda tree: json.dumps(tree).encode()),
)
def test_any_bytes_are_taken_or_refused_and_a_transaction_is_never_made_up(
    verb: str, payload: bytes
) -> None:
    try:
        transaction = parse_request(verb, payload).payload.transaction
    except RequestError as error:
        transaction = error.transaction
    if transaction is not None:
        assert json.loads(payload)["transaction"] == transaction


@pytest.mark.parametrize("transaction", [None, "", "ö", 0, -(2**53) + 1])
def test_a_transaction_comes_back_as_it_was(transaction: str | int | None) -> None:
    payload = json.dumps({"transaction": transaction}).encode()
    found = parse_request("info", payload).payload.transaction
    response = ResponseMessage(device="d", verb="info", status="ok", transaction=found)
    body = json.loads(response.encode())
    assert body.get("transaction") == transaction
    jsonschema.validate(body, schema() | {"$ref": "#/$defs/ResponseMessage"})


def test_a_response_has_the_keys_of_the_contract_and_no_others() -> None:
    data = SnapshotData(topic="p/yard/snapshot", bytes=3)
    response = ResponseMessage(device="porch", verb="snapshot", status="ok", data=data)
    assert json.loads(response.encode()) == {
        "schema_version": 1,
        "device": "porch",
        "verb": "snapshot",
        "status": "ok",
        "data": {"topic": "p/yard/snapshot", "bytes": 3},
    }
