from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from support.tiny_models import change_content, make_header, write_content, write_raw_header

from bids_film.domain.errors import ExitCode, ModelFileError
from bids_film.model.config import Postprocessing
from bids_film.model.header import (
    FORMAT_VERSION,
    HEADER_KEY,
    MAX_HEADER_BYTES,
    hash_file,
    header_from_text,
    header_to_text,
    read_header,
)
from bids_film.models import list_models

CONTENT = json.loads(header_to_text(make_header()))
NEW = {"postprocessing": Postprocessing(), "volumes_ml": {}, "bfloat16_dice": 0.0}
"""What files of earlier versions lack, and stands for it."""


def change(path: tuple[str | int, ...], value: Any) -> Callable[[dict[str, Any]], object]:
    def apply(content: dict[str, Any]) -> None:
        part: Any = content
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = value

    return apply


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_header_survives_the_way_through_a_file(tmp_path: Path, dimensions: int) -> None:
    header = replace(
        make_header(dimensions=dimensions, generator=(), dropout=0.25),
        postprocessing=Postprocessing(keep_largest_whole=True, keep_largest=("cord",)),
        volumes_ml={"cord": (0.5, 2.5)},
        bfloat16_dice=0.9995,
    )
    path = write_content(tmp_path / "model.safetensors", header_to_text(header))
    assert read_header(path) == header


@pytest.mark.parametrize(("key", "nothing"), NEW.items())
def test_a_header_of_an_earlier_version_lacks_what_is_new(key: str, nothing: object) -> None:
    text = change_content(lambda content: content.pop(key))
    assert getattr(header_from_text(text, file="x"), key) == nothing


def test_the_metadata_that_a_read_encoder_encodes_are_the_same() -> None:
    header = make_header()
    found = header_from_text(header_to_text(header), file="x").encoder
    values = {"MagneticFieldStrength": 2.0, "Manufacturer": "Philips"}
    assert found.encode(values).vector.tolist() == header.encoder.encode(values).vector.tolist()
    assert found.spans == header.encoder.spans


@pytest.mark.parametrize("name", sorted(list_models({})))
def test_bundled_models_can_be_described(name: str) -> None:
    header = read_header(list_models({})[name])
    assert header.name == name
    assert header.description
    assert header.card
    assert header_from_text(header_to_text(header), file="x") == header


def test_reading_a_header_imports_nothing_heavy(tmp_path: Path) -> None:
    path = write_content(tmp_path / "model.safetensors", header_to_text(make_header()))
    code = (
        "import sys; from pathlib import Path; from bids_film.model.header import read_header; "
        f"print(read_header(Path({str(path)!r})).name, "
        "[n for n in ('torch', 'nipype', 'bids', 'nibabel', 'pandas') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1) == ["tiny", "[]\n"]


def refused(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        read_header(path)
    assert caught.value.exit_code == ExitCode.INPUT
    assert str(path) in caught.value.message
    return str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        b"\0" * 8,
        b"\0" * 100,
        b"this is a text file, not a model\n",
        b"\x1f\x8b\x08\x00" + bytes(range(256)),
        struct.pack("<Q", 2**64 - 1) + b"{}",
        struct.pack("<Q", 2**40) + b"{}",
        struct.pack("<Q", 2) + b"{",
        struct.pack("<Q", 4) + b"\xff\xfe{}",
        struct.pack("<Q", 200_000) + b"[" * 200_000,
        struct.pack("<Q", 8 + 200_000) + b'{"a":1' + b"0" * 200_002,
    ],
    ids=lambda content: f"{len(content)}-{content[:4].hex()}",
)
def test_what_is_not_a_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    assert "is not a safetensors file" in refused(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "absent.safetensors")
    assert "Is a directory" in refused(tmp_path)


def test_a_header_longer_than_any_model_has_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", MAX_HEADER_BYTES + 1))
        stream.truncate(2**32)
    assert "bytes long" in refused(path)


@pytest.mark.parametrize(
    "content", [b"{}", b"[]", b"3", b'{"__metadata__": {"format": "pt"}}', b'{"__metadata__": []}']
)
def test_a_safetensors_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = write_raw_header(tmp_path / "model.safetensors", content)
    assert "not a bids-film model" in refused(path)


@pytest.mark.parametrize("text", [None, 3, [], {}, "", "[]", "null", "{}", "[" * 100_000, "NaN"])
def test_a_description_that_is_none_is_refused(tmp_path: Path, text: Any) -> None:
    path = write_content(tmp_path / "model.safetensors", text)
    assert "its description cannot be read" in refused(path)


def test_a_newer_format_says_that_the_program_is_too_old(tmp_path: Path) -> None:
    newer = change_content(
        lambda content: (content.clear(), content.update(format_version=FORMAT_VERSION + 1))
    )
    message = refused(write_content(tmp_path / "model.safetensors", newer))
    assert f"has model format {FORMAT_VERSION + 1}" in message
    assert "update bids-film" in message


@pytest.mark.parametrize("part", sorted({*CONTENT} - {*NEW}))
def test_a_missing_part_is_named(tmp_path: Path, part: str) -> None:
    text = change_content(lambda content: content.pop(part))
    assert f"'{part}'" in refused(write_content(tmp_path / "model.safetensors", text))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format_version",), "one"),
        (("format_version",), float("inf")),
        (("network", "channels"), [8, 10**9]),
        (("network", "channels"), [8] * 1000),
        (("network", "channels"), 10**400),
        (("network", "dimensions"), 3.0),
        (("network", "dropout"), float("nan")),
        (("network", "dropout"), 10**400),
        (("network", "out_channels"), 5),
        (("network", "code"), "import os"),
        (("preprocessing", "spacing_mm"), [float("nan"), 1, 1]),
        (("preprocessing", "patch"), [16, 16]),
        (("preprocessing", "plane"), "upside down"),
        (("postprocessing", "keep_largest"), ["liver"]),
        (("encoder", "fields"), [{"name": "a"}]),
        (("encoder", "statistics", "MagneticFieldStrength", "mean"), float("nan")),
        (("encoder", "statistics", "MagneticFieldStrength", "deviation"), 0),
        (("encoder", "statistics"), {}),
        (("labels", 0, "index"), 0),
        (("labels", 0, "index"), 2**16),
        (("labels", 0, "index"), 7),
        (("labels", 0, "name"), "gray"),
        (("labels", 0, "color"), "red;}<script>"),
        (("labels", 0, "abbreviation"), "../../x"),
        (("labels", 0, "part_of"), "gray"),
        (("labels", 0, "part_of"), "cord"),
        (("labels", 0, "part_of"), "liver"),
        (("name",), "../../../tmp/x"),
        (("name",), ""),
        (("name",), "naïve"),
    ],
)
def test_a_part_that_cannot_be_is_refused(
    tmp_path: Path, path: tuple[str | int, ...], value: Any
) -> None:
    text = change_content(change(path, value))
    assert "cannot be read" in refused(write_content(tmp_path / "model.safetensors", text))


@given(st.binary(max_size=200))
def test_no_bytes_end_in_another_error(tmp_path_factory: Any, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelFileError):
        read_header(path)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=3), part),
    max_leaves=4,
)


def list_places(content: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = list(content) if isinstance(content, dict) else []
    keys = list(range(len(content))) if isinstance(content, list) else keys
    return [
        *([place] if place else []),
        *(p for k in keys for p in list_places(content[k], (*place, k))),
    ]


@given(st.sampled_from(list_places(CONTENT)), ANY_JSON)
def test_a_header_with_any_part_replaced_is_read_or_refused(
    place: tuple[Any, ...], value: Any
) -> None:
    text = change_content(change(place, value))
    try:
        header = header_from_text(text, file="model.safetensors")
    except ModelFileError:
        return
    assert header_from_text(header_to_text(header), file="x") == header


def test_the_hash_is_that_of_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"weights" * 1000)
    assert hash_file(path) == hashlib.sha256(b"weights" * 1000).hexdigest()


@pytest.mark.parametrize("lost", [1, 50])
def test_a_file_without_all_of_its_weights_is_refused_before_they_are_read(
    tmp_path: Path, lost: int
) -> None:
    path = tmp_path / "model.safetensors"
    weights = {"weight": torch.zeros(100)}
    save_file(weights, path, metadata={HEADER_KEY: header_to_text(make_header())})
    assert read_header(path) == make_header()
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(ModelFileError, match="truncated"):
        read_header(path)


def test_what_it_reached_is_the_validation_at_the_step_that_was_kept() -> None:
    header = make_header()
    names = [structure.name for structure in header.labels]
    curve = [{"step": step, f"dice {names[0]}": step / 10} for step in (1, 2, 3)]
    kept = replace(header, training={"best_step": 2, "curve": curve})
    assert kept.reached_dice == {names[0]: 0.2}
    assert replace(header, training={}).reached_dice == {}
    for odd in (3, "curve", [3, None], [{"step": 2, f"dice {names[0]}": "high"}]):
        assert replace(header, training={"best_step": 2, "curve": odd}).reached_dice == {}
