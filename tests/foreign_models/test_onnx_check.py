"""Static checks of an `.onnx` file without a manifest: each rule, and the files that pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_mnist import Classifier
from edge_mnist.bundle import SHIPPED
from edge_mnist.foreign_models import onnx_check
from edge_mnist.model_files.malformed import Malformed, TooLarge
from tests.conftest import WHOLE
from tests.errors import raises
from tests.foreign_models.bundles import sole_file
from tests.fuzz.mutation import varint

FLOAT = WHOLE / "model-float32.onnx"


@pytest.fixture
def onnx() -> Any:
    return pytest.importorskip("onnx", reason="needs onnx to build models")


def _with_external_data(onnx: Any, location: str) -> bytes:
    model = onnx.load(FLOAT)
    tensor = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, location)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    return bytes(model.SerializeToString())


def _message(number: int, content: bytes) -> bytes:
    """Return a field of a protocol buffer."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def test_shipped_files_are_known_to_be_safe() -> None:
    files = [*WHOLE.glob("*.onnx"), *Path(onnx_check.__file__).parents[1].rglob("*.onnx")]
    assert len(files) > 2
    for file in files:
        assert onnx_check.check(file.read_bytes(), file)


def test_a_zero_point_of_no_elements_is_tried_in_a_child_and_refused(
    onnx: Any, tmp_path: Path
) -> None:
    model = onnx.load(Path(SHIPPED).with_name("nano") / "model-int8.onnx")
    (zero_point,) = [t for t in model.graph.initializer if t.name == "probabilities_zero_point"]
    zero_point.dims.append(0)
    zero_point.ClearField("int32_data")
    file = sole_file(tmp_path, "model-int8.onnx", model.SerializeToString())
    assert not onnx_check.check(file.read_bytes(), file)
    # ONNX Runtime 1.32 ends the process that predicts with it.
    with raises("model-malformed", "operators that end the process"):
        Classifier(tmp_path, backend="onnx")


def test_a_file_whose_nodes_are_out_of_order_is_loaded(onnx: Any, tmp_path: Path) -> None:
    model = onnx.load(FLOAT)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    with pytest.raises(onnx.checker.ValidationError, match="topologically sorted"):
        onnx.checker.check_model(model)
    path = tmp_path / "reversed.onnx"
    path.write_bytes(model.SerializeToString())
    assert onnx_check.check(path.read_bytes(), path)
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28), np.uint8)
    expected = Classifier(FLOAT, backend="onnx").predict_batch(images)
    assert (Classifier(path, backend="onnx").predict_batch(images) == expected).all()


def test_a_node_input_that_no_node_makes_is_refused(onnx: Any, tmp_path: Path) -> None:
    model = onnx.load(FLOAT)
    model.graph.node[1].input[0] = "nobody"
    path = tmp_path / "mine.onnx"
    path.write_bytes(model.SerializeToString())
    with raises("model-refused", "Node input 'nobody' is not a graph input"):
        Classifier(path)


# ----- External data ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "location",
    [
        *("/etc/passwd", "../w.bin", "a/../../w.bin", "C:\\w.bin", "..\\w.bin", "link.bin", ""),
        "*/_ORT_MEM_ADDR_/*",
    ],
)
def test_weights_outside_of_the_folder_are_never_opened(
    location: str, onnx: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    (folder / "*" / "_ORT_MEM_ADDR_").mkdir(parents=True)
    (folder / "*" / "_ORT_MEM_ADDR_" / "*").write_bytes(bytes(10**6))
    (tmp_path / "w.bin").write_bytes(bytes(10**6))
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")
    path = folder / "mine.onnx"
    path.write_bytes(_with_external_data(onnx, location))
    with raises("model-malformed", "mine.onnx", "weights outside of its folder"):
        Classifier(path)


def test_external_data_is_looked_for_wherever_a_tensor_can_be(onnx: Any, tmp_path: Path) -> None:
    helper = onnx.helper
    tensor = onnx.load_from_string(_with_external_data(onnx, "../w.bin")).graph.initializer[0]
    constant = helper.make_node("Constant", [], ["c"], value=tensor)
    branch = helper.make_graph([constant], "branch", [], [])
    branches = helper.make_node("If", ["x"], ["c"], then_branch=branch, else_branch=branch)
    function = helper.make_function("mine", "F", [], ["c"], [constant], [])
    for nodes, functions in (([constant], []), ([branches], []), ([], [function])):
        graph = helper.make_graph(nodes, "g", [], [])
        content = helper.make_model(graph, functions=functions).SerializeToString()
        with pytest.raises(Malformed, match="weights outside of its folder"):
            onnx_check.check(content, tmp_path / "mine.onnx")


def test_external_data_is_refused_where_it_is_not_a_file(onnx: Any, tmp_path: Path) -> None:
    for location, message in {
        "w.bin": r"weights in 'w\.bin', which is not beside it",
        "a\0b": "which cannot be opened",
        "a" * 300: "which cannot be opened",
    }.items():
        with pytest.raises(Malformed, match=message):
            onnx_check.check(_with_external_data(onnx, location), tmp_path / "mine.onnx")


@pytest.mark.parametrize("content", [b"\x3a\x05abc", b"\x0b", b"\xff" * 12, b"\x3a"])
def test_a_file_that_cannot_be_read_to_its_end_is_refused(content: bytes) -> None:
    with pytest.raises(Malformed, match="a broken protocol buffer"):
        onnx_check.check(content, FLOAT)


def test_a_file_in_ort_format_is_refused(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime to write one")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    path = tmp_path / "mine.onnx"
    options.optimized_model_filepath = str(path)
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(FLOAT), options, providers=["CPUExecutionProvider"])
    with raises("model-malformed", "mine.onnx", "a model in ORT format"):
        Classifier(path)


# ----- Memory and time ----------------------------------------------------------------------------


def test_weights_of_too_much_memory_are_refused(onnx: Any, tmp_path: Path) -> None:
    model = onnx.load(FLOAT)
    path = tmp_path / "mine.onnx"
    model.graph.initializer[0].dims[:] = (1 << 20, 1 << 20)
    path.write_bytes(model.SerializeToString())
    with raises("model-malformed", "weights of more than 512 MB in all", "use a smaller model"):
        Classifier(path)
    model.graph.initializer[0].dims[:] = [1] * 20
    with pytest.raises(Malformed, match="a tensor of more than 16 dimensions"):
        onnx_check.check(model.SerializeToString(), path)
    model = onnx.load(FLOAT)
    model.graph.sparse_initializer.add().dims[:] = [1 << 14, 1 << 15]
    with pytest.raises(Malformed, match="sparse weights"):
        onnx_check.check(model.SerializeToString(), path)


def test_a_tensor_of_another_size_than_its_shape_is_refused(onnx: Any, tmp_path: Path) -> None:
    model = onnx.load(FLOAT)
    path = tmp_path / "mine.onnx"
    for dims in ((7, 7), (-1, 7)):
        model.graph.initializer[0].dims[:] = dims
        path.write_bytes(model.SerializeToString())
        with raises("model-refused", "runtime", "xpected"):
            Classifier(path)


def test_nodes_and_graphs_within_graphs_have_a_limit(tmp_path: Path) -> None:
    graph = b""
    for _ in range(2000):
        attribute = _message(1, b"then_branch") + _message(6, graph)
        graph = _message(1, _message(4, b"If") + _message(5, attribute))
    with pytest.raises(Malformed, match="messages more than 100 deep"):
        onnx_check.check(_message(7, graph), FLOAT)
    with pytest.raises(TooLarge, match="more than 20000 nodes"):
        onnx_check.check(_message(7, _message(1, _message(4, b"Relu")) * 20_001), FLOAT)


# ----- Left to the child process ------------------------------------------------------------------


def test_unusual_nodes_are_left_to_the_child(onnx: Any) -> None:
    make = onnx.helper.make_node
    branch = onnx.helper.make_graph([], "branch", [], [])
    for node in (
        make("NonZero", ["x"], ["y"]),
        make("Relu", ["x"], ["y"], domain="mine"),
        make("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], pads=[0, 0, 0, 257]),
        make("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[0, 1]),
        make("MaxPool", ["x"], ["y"], kernel_shape=[1] * 20),
        make("If", ["x"], ["y"], then_branch=branch, else_branch=branch),
    ):
        model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], []))
        assert not onnx_check.check(model.SerializeToString(), FLOAT)
