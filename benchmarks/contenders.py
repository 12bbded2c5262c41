"""The contenders: tools with their exact releases, and the model files that each can load."""

from __future__ import annotations

from dataclasses import dataclass

OURS = "edge-mnist"


@dataclass(frozen=True)
class Contender:
    """One tool and its model files.

    Attributes:
        tool: a function of contender.py.
        packages: requirements of its virtual environment, as pip takes them.
        files: paths below the models' folder, by precision.
    """

    name: str
    tool: str
    packages: tuple[str, ...]
    files: dict[str, str]
    arch: str = "seed"

    @property
    def environment(self) -> str:
        """Name of the virtual environment; contenders with the same packages share one."""
        return "-".join(package.partition("==")[0] for package in self.packages).lower()

    @property
    def ours(self) -> bool:
        """Whether the tool is `edge_mnist.Classifier`."""
        return self.tool == "edge_mnist"


_NUMPY = "numpy==2.4.6"
_LITERT = "ai-edge-litert==2.3.0"
_ORT = "onnxruntime==1.32.0"
_KERAS = ("tensorflow==2.21.0", "keras==3.15.1", _NUMPY)
_TFLITE_FILES = {
    precision: f"{{arch}}/model-{precision}.tflite"
    for precision in ("float32", "float16", "dynamic", "int8")
}
_ONNX_FILES = {
    precision: f"{{arch}}/model-{precision}.onnx"
    for precision in ("float32", "float16", "dynamic", "int8")
}


def _of(arch: str, files: dict[str, str], *precisions: str) -> dict[str, str]:
    return {name: files[name].format(arch=arch) for name in precisions or files}


def _through_classifier(arch: str, *precisions: str) -> list[Contender]:
    name = f"{OURS}, {arch}"
    return [
        Contender(
            f"{name}, LiteRT",
            "edge_mnist",
            (OURS, _LITERT, _NUMPY),
            _of(arch, _TFLITE_FILES, *precisions),
            arch,
        ),
        Contender(
            f"{name}, ONNX Runtime",
            "edge_mnist",
            (OURS, _ORT, _NUMPY),
            _of(arch, _ONNX_FILES, *precisions),
            arch,
        ),
    ]


CONTENDERS = (
    *_through_classifier("nano", "int8"),
    *_through_classifier("edge", "int8"),
    *_through_classifier("seed"),
    Contender("ai-edge-litert", "litert", (_LITERT, _NUMPY), _of("seed", _TFLITE_FILES)),
    Contender(
        "tflite-runtime",
        "tflite",
        ("tflite-runtime==2.14.0", "numpy==1.26.4"),
        # It cannot load the dynamic-range file.
        _of("seed", _TFLITE_FILES, "float32", "float16", "int8"),
    ),
    Contender("ONNX Runtime", "onnxruntime", (_ORT, _NUMPY), _of("seed", _ONNX_FILES)),
    Contender(
        "OpenVINO",
        "openvino",
        ("openvino==2026.4.1", _NUMPY),
        _of("seed", _ONNX_FILES, "float32", "int8"),
    ),
    Contender("ncnn", "ncnn", ("ncnn==1.0.20261020", _NUMPY), {"float16": "seed/ncnn.param"}),
    Contender("MNN", "mnn", ("MNN==3.6.1", _NUMPY), {"float32": "seed/model.mnn"}),
    Contender("Keras, model(…)", "keras_call", _KERAS, {"float32": "seed/model.keras"}),
    Contender("Keras, predict", "keras_predict", _KERAS, {"float32": "seed/model.keras"}),
)
# The converter to ncnn's format, installed without PyTorch, which this conversion does not need.
PNNX = "pnnx==20261020"
