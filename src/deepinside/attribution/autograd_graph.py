"""Which non-linear operations lie between a picture and its scores, as autograd recorded them.

What Python code hides (scripted blocks, arithmetic that amounts to a rectifier) stands in the graph all the same.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

SHAPES = {"View", "UnsafeView", "ReshapeAlias", "Reshape", "Permute", "Transpose", "T", "Mt", "MT", "Squeeze", "Clone"}
SHAPES |= {"Unsqueeze", "Expand", "Repeat", "Slice", "Select", "Split", "SplitWithSizes", "Unbind", "Index", "Flip"}
SHAPES |= {"UnsafeSplit", "IndexSelect", "Gather", "Roll", "Unfold", "Im2Col", "Col2Im", "Alias", "AsStrided", "Copy"}
SHAPES |= {"ToCopy", "CopySlices", "Copys", "Diagonal", "PixelShuffle", "PixelUnshuffle", "ConstantPadNd", "Chunk"}
SHAPES |= {"ReflectionPad2D", "ReplicationPad2D", "NativeChannelShuffle", "ChannelShuffle", "Narrow", "Fill", "Zero"}
SCALES = {"Add", "Sub", "Rsub", "Neg", "Mul", "Div"}
STATISTICS = {"Mean", "Sum", "Var", "Std", "VarMean", "StdMean", "LinalgVectorNorm", "Norm"}
LINEAR = SHAPES | SCALES | STATISTICS | {"AccumulateGrad", "Cat", "Stack", "Cumsum", "GridSampler2D", "NativeDropout"}
LINEAR |= {"Convolution", "ConvolutionOverrideable", "MkldnnConvolution", "CudnnConvolution", "MiopenConvolution"}
LINEAR |= {"ConvDepthwise2D", "SlowConv2D", "ThnnConv2D", "_SubPixelConvolution", "Linear", "MkldnnLinear", "Dot"}
LINEAR |= {"Addmm", "Mm", "Bmm", "Baddbmm", "Addbmm", "Addmv", "Mv", "MaxPool2DWithIndices", "MaxPool3DWithIndices"}
LINEAR |= {"MaxPool2D", "MkldnnMaxPool2D", "MpsMaxPool2D", "AdaptiveMaxPool2D", "Max", "Amax", "AvgPool2D", "AvgPool3D"}
LINEAR |= {"AdaptiveAvgPool2D", "AdaptiveAvgPool3D", "MkldnnAdaptiveAvgPool2D", "UpsampleNearest2D", "NativeLayerNorm"}
LINEAR |= {"UpsampleBilinear2D", "UpsampleBilinear2DAa", "UpsampleBicubic2D", "UpsampleBicubic2DAa", "NativeGroupNorm"}
LINEAR |= {"NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm", "FusedRmsNorm", "BatchNorm"}
SOMETIMES = {"Mul", "Div", "Max", "Amax"}  # of these it depends on what they are done to
GATES = {"Sigmoid", "Hardsigmoid", "Softmax", "LogSoftmax", "Glu"}
BOUNDS = {"Clamp", "ClampMin", "ClampMax"}
ROOTS = BOUNDS | {"Pow", "Sqrt"}  # what stands between a statistic and the division by it


def node_kind(node: Any) -> str:
    """Autograd's name of an operation, without what all have in common: ReluBackward0 -> Relu."""
    return re.sub(r"Backward\d*$", "", type(node).__name__.rsplit("::", 1)[-1])


def parents(node: Any) -> list[Any]:
    """The operations that gave this one's inputs, constants left out."""
    return [parent for parent, _ in node.next_functions if parent is not None]


def is_picture(node: Any) -> bool:
    """Whether this is the picture itself, the only leaf with gradients while weights are frozen, or a copy of it."""
    kind = node_kind(node)
    return kind == "AccumulateGrad" or (kind == "Clone" and all(is_picture(parent) for parent in parents(node)))


def undefined_nodes(scores: Tensor, known: Mapping[Any, Sequence[Any]]) -> list[Any]:
    """The operations between pictures and scores that are neither linear (convolutions, full layers, sums, pools,
    normalisation, constant factors but for masks), nor gates that scale other activity, nor `known`: those and what
    gave their inputs, which are passed over as a whole.
    """
    found, seen, todo = [], set(), [scores.grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node in known:
            todo += known[node]
            continue
        kind, above = node_kind(node), parents(node)
        if kind == "Div" and len(above) == 2 and _is_statistic(above[1]):
            above = above[:1]  # normalised by a statistic of the activity, as in batch normalisation
        on_picture = kind in BOUNDS and all(is_picture(parent) for parent in above)
        product = kind in ("Mul", "Div") and len(above) == 2 and not (kind == "Mul" and _is_gated(*above))
        chosen = kind in ("Max", "Amax") and any(node_kind(_source(p, SHAPES)) == "Stack" for p in above)
        if product or chosen or _is_masked(node) or not (kind in LINEAR or kind in GATES or on_picture):
            found.append(node)
        todo += above
    return found


def _is_masked(node: Any) -> bool:
    """Whether it multiplies by zeros and ones, as in h * (h.detach() > 0), where the graph does not show whose."""
    if node_kind(node) != "Mul" or len(parents(node)) != 1:
        return False
    factors = [getattr(node, name, None) for name in ("_saved_self", "_saved_other")]
    return any(
        isinstance(t, Tensor) and bool(((t == 0) | (t == 1)).all()) and 0 < int(t.count_nonzero()) < t.numel()
        for t in factors
    )


def _is_gated(one: Any, other: Any) -> bool:
    """Whether one factor is a gate of its own: h sigmoid(h) is a smooth activation of h, not h scaled by a gate."""
    for factor, rest in ((one, other), (other, one)):
        gate = _source(factor, SHAPES)
        if node_kind(gate) in GATES and all(_source(p) is not _source(rest) for p in parents(gate)):
            return True
    return False


def _source(node: Any, through: set[str] = SHAPES | SCALES) -> Any:
    """What is scaled, shifted and reshaped by constants to give this node."""
    while node_kind(node) in through and len(parents(node)) == 1:
        node = parents(node)[0]
    return node


def _is_statistic(node: Any) -> bool:
    return node_kind(_source(node, SHAPES | SCALES | ROOTS)) in STATISTICS
