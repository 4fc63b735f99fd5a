"""A DSTformer and its heads as an ONNX graph, operator by operator from our parameters.

Axes: N clips of one person (B * M), B clips, M people, T frames, J joints, C channels, H heads,
D channels of a head. Weights keep their paths as names.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from dstformer_jax.export.parts import Part
from dstformer_jax.models.functional import LAYER_NORM_EPSILON

OPSET = 20  # the first with Gelu; onnxruntime 1.17 and later
IR_VERSION = 10
Tree = Mapping[str, Any]


def build(part: Part) -> bytes:
    """The part as an ONNX model; batch, people and time are dynamic.

    Raises:
      ValueError: a backbone that has no ONNX graph.
    """
    backbone: Any = part.network.backbone
    if type(backbone).__name__ != "DSTformer":
        raise ValueError(
            f"got the backbone {type(backbone).__name__}, expected DSTformer for ONNX; "
            "do export to .stablehlo"
        )
    writer = _Writer(backbone, part.variables)
    writer.whole(part)
    info = part.metadata
    values = (
        helper.make_tensor_value_info(about["name"], TensorProto.FLOAT, about["shape"])
        for about in (info["input"], info["output"])
    )
    motion, answer = values
    graph = helper.make_graph(writer.nodes, part.name, [motion], [answer], writer.weights)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name=info["package"],
        producer_version=info["version"],
    )
    return model.SerializeToString()


class _Writer:
    """Appends operators to a graph; each method returns the name of its result."""

    def __init__(self, backbone: Any, variables: Tree) -> None:
        self.backbone, self.variables = backbone, variables
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self._stored: dict[tuple[str, bytes, str], str] = {}

    # Pieces ---------------------------------------------------------------------------------------

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def weight(self, path: str) -> str:
        """A parameter or statistic by its path."""
        node: Any = self.variables["batch_stats" if path.endswith(("/mean", "/var")) else "params"]
        for name in path.split("/"):
            node = node[name]
        return self._store(path, np.asarray(node, np.float32))

    def numbers(self, *values: int) -> str:
        return self._store("", np.array(values, np.int64))

    def scalar(self, value: float) -> str:
        return self._store("", np.array(value, np.float32))

    def _store(self, name: str, array: np.ndarray) -> str:
        """An array in the file, once however often it is asked for."""
        key = (name, b"" if name else array.tobytes(), str(array.dtype))
        if key not in self._stored:
            self._stored[key] = name or f"constant_{len(self._stored)}"
            self.weights.append(numpy_helper.from_array(array, self._stored[key]))
        return self._stored[key]

    def linear(self, x: str, path: str) -> str:
        product = self.op("MatMul", x, self.weight(f"{path}/kernel"))
        return self.op("Add", product, self.weight(f"{path}/bias"))

    def layer_norm(self, x: str, path: str) -> str:
        weights = (self.weight(f"{path}/{name}") for name in ("scale", "bias"))
        return self.op("LayerNormalization", x, *weights, axis=-1, epsilon=LAYER_NORM_EPSILON)

    def size(self, x: str, axis: int) -> str:
        """The size of an axis (any but the last by -1), as a list of one number."""
        return self.op("Shape", x, start=axis, end=axis + 1)

    def shaped(self, x: str, *sizes: str) -> str:
        return self.op("Reshape", x, self.op("Concat", *sizes, axis=0))

    # The backbone ---------------------------------------------------------------------------------

    def whole(self, part: Part) -> None:
        """From "motion" to the part's name."""
        frames, joints = self.size("motion", -3), self.backbone.num_joints
        clips = self.shaped("motion", self.numbers(-1), frames, self.numbers(joints, 3))
        seen = self.represent(clips, frames)
        if part.name == "backbone":
            answer = seen
        elif part.name == "pose":
            answer = self.linear(seen, "head/dense")
        else:
            answer = self.recognise(seen, part)
        self.op("Identity", answer, output=part.name)

    def represent(self, motion: str, frames: str) -> str:
        """E [N, T, J, C] of motion [N, T, J, 3]."""
        x = self.linear(motion, "backbone/joints_embed")
        x = self.op("Add", x, self.weight("backbone/pos_embed"))
        times = self.op(
            "Slice", self.weight("backbone/temp_embed"), self.numbers(0), frames, self.numbers(0)
        )
        x = self.op("Add", x, self.op("Unsqueeze", times, self.numbers(1)))
        for level in range(self.backbone.depth):
            x = self.level(x, f"backbone/layer_{level}")
        x = self.layer_norm(x, "backbone/norm")
        return self.op("Tanh", self.linear(x, "backbone/pre_logits"))

    def level(self, x: str, path: str) -> str:
        """One level of the encoder in any design of the paper's Table 7."""
        design = self.backbone.design
        if design in ("st", "ts", "one_mlp"):
            return self.stream(x, f"{path}/ts" if design == "ts" else f"{path}/st")
        if design == "parallel":
            streams = [self.half(x, f"{path}/{axis}") for axis in ("spatial", "temporal")]
        else:
            streams = [self.stream(x, f"{path}/{order}") for order in ("st", "ts")]
        if design == "average":
            return self.op("Mul", self.op("Add", *streams), self.scalar(0.5))
        logits = self.linear(self.op("Concat", *streams, axis=-1), f"{path}/fusion/weights")
        alpha = self.op("Softmax", logits, axis=-1)
        parts = [self.op("Gather", alpha, self.numbers(i), axis=-1) for i in range(2)]
        blended = [self.op("Mul", *pair) for pair in zip(streams, parts, strict=True)]
        return self.op("Add", *blended)

    def stream(self, x: str, path: str) -> str:
        halves = ("spatial", "temporal")
        for axis in halves if path.endswith("/st") else reversed(halves):
            x = self.half(x, f"{path}/{axis}")
        return x

    def half(self, x: str, path: str) -> str:
        """Attention and, where this half has one, an MLP, each with its residual."""
        x = self.residual(x, f"{path}/norm_attention", f"{path}/attention")
        node: Any = self.variables["params"]
        for name in path.split("/"):
            node = node[name]
        return self.residual(x, f"{path}/norm_mlp", f"{path}/mlp") if "mlp" in node else x

    def residual(self, x: str, norm: str, branch: str) -> str:
        transform = self.mlp if branch.endswith("mlp") else self.attention
        if self.backbone.norm == "pre":
            return self.op("Add", x, transform(self.layer_norm(x, norm), branch))
        return self.layer_norm(self.op("Add", x, transform(x, branch)), norm)

    def mlp(self, x: str, path: str) -> str:
        hidden = self.op("Gelu", self.linear(x, f"{path}/fc1"))
        return self.linear(hidden, f"{path}/fc2")

    def attention(self, x: str, path: str) -> str:
        """Over joints or over frames, by the path's last half. [N, T, J, C] -> the same."""
        heads, joints = self.backbone.num_heads, self.backbone.num_joints
        size = self.backbone.dim_feat // heads
        spatial = path.endswith("spatial/attention")
        # The attended axis comes second to last: [N, T, H, J, D] or [N, J, H, T, D].
        order = (0, 1, 3, 2, 4) if spatial else (0, 2, 3, 1, 4)
        back = (0, 1, 3, 2, 4) if spatial else (0, 3, 1, 2, 4)
        inner = [f"{kind}_{len(self.nodes)}" for kind in ("query", "key", "value")]
        qkv = self.linear(x, f"{path}/qkv")
        self.nodes.append(helper.make_node("Split", [qkv], inner, axis=-1, num_outputs=3))
        query, key, value = (
            self.op("Transpose", self.op("Reshape", y, self.numbers(0, 0, joints, heads, size)),
                    perm=order)
            for y in inner
        )  # fmt: skip
        query = self.op("Mul", query, self.scalar(size**-0.5))
        key = self.op("Transpose", key, perm=(0, 1, 2, 4, 3))
        weights = self.op("Softmax", self.op("MatMul", query, key), axis=-1)
        mixed = self.op("Transpose", self.op("MatMul", weights, value), perm=back)
        mixed = self.op("Reshape", mixed, self.numbers(0, 0, joints, heads * size))
        return self.linear(mixed, f"{path}/proj")

    # Heads of recognition -------------------------------------------------------------------------

    def recognise(self, representation: str, part: Part) -> str:
        """Class scores [B, K] or embedding [B, D] of E [B * M, T, J, C]."""
        people = self.op("ReduceMean", representation, self.numbers(1), keepdims=0)
        width = self.backbone.num_joints * self.backbone.dim_rep
        clips = (self.size("motion", 0), self.size("motion", 1), self.numbers(width))
        pooled = self.over_people(self.shaped(people, *clips), part)
        head: Any = part.network.head
        if part.name == "embedding":
            return self.unit(self.linear(pooled, "head/fc1"))
        if head.hidden:
            names = ("scale", "bias", "mean", "var")
            weights = (self.weight(f"head/bn/{name}") for name in names)
            hidden = self.linear(pooled, "head/fc1")
            pooled = self.op("Relu", self.op("BatchNormalization", hidden, *weights, epsilon=1e-5))
        return self.linear(pooled, "head/fc2")

    def over_people(self, people: str, part: Part) -> str:
        """Mean over all people, or over those with any confidence. [B, M, _] -> [B, _]."""
        head: Any = part.network.head
        if head.absent == "zeros":
            return self.op("ReduceMean", people, self.numbers(1), keepdims=0)
        confidence = self.op("Gather", "motion", self.numbers(2), axis=-1)
        largest = self.op(
            "ReduceMax", self.op("Abs", confidence), self.numbers(2, 3, 4), keepdims=0
        )
        present = self.op(
            "Cast", self.op("Cast", largest, to=TensorProto.BOOL), to=TensorProto.FLOAT
        )
        weight = self.op("Unsqueeze", present, self.numbers(-1))
        total = self.op("ReduceSum", self.op("Mul", people, weight), self.numbers(1), keepdims=0)
        count = self.op("ReduceSum", weight, self.numbers(1), keepdims=0)
        return self.op("Div", total, self.op("Max", count, self.scalar(1.0)))

    def unit(self, vectors: str) -> str:
        length = self.op("ReduceL2", vectors, self.numbers(-1), keepdims=1)
        return self.op("Div", vectors, self.op("Max", length, self.scalar(1e-12)))
