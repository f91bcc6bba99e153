"""A trained network in float64, written from its graph alone: the oracle of folding.

Fake quantization with Python's own idea of every operation; no code of the training
engine, of the units or of the float reference. Only step sizes, offsets and formats are
read off the quantizers.
"""

from itertools import product

import numpy as np

from lsqsim.learn import graph


def replica(model, x):  # noqa: C901 - one case a kind of node
    """Real values behind every node of ``model.graph`` and codes behind every quantizer."""
    state = {key: value.astype(np.float64) for key, value in model.state().items()}
    values, codes, pads = {"input": x.astype(np.float64)}, {}, {"input": 0.0}
    for node in model.graph.nodes:
        v = values[node.source]
        pads[node.name] = pads.get(node.source, 0.0)
        match node:
            case graph.QuantizeNode():
                quantizer = model.quantizer(node.name)
                codes[node.name], out = fake_quantize(quantizer, v)
                pads[node.name] = fake_quantize(quantizer, np.zeros(1))[1][0]
            case graph.Conv2dNode():
                w = weights(model, node)
                out = convolve(v, w, node, pads[node.source]) + bias(state, node)
            case graph.LinearNode():
                out = v @ weights(model, node) + bias(state, node)
            case graph.BatchNormNode():
                gamma, beta, mean, variance = (
                    state[f"{node.name}.{key}"] for key in ("gamma", "beta", "mean", "variance")
                )
                out = gamma * (v - mean) / np.sqrt(variance + node.epsilon) + beta
            case graph.ReluNode():
                out = np.maximum(v, 0)
            case graph.MaxPoolNode():
                out = np.max(slices(v, node, node.padding, -np.inf), axis=0)
            case graph.AveragePoolNode():
                out = np.mean(slices(v, node, (0, 0, 0, 0), 0.0), axis=0)
            case graph.GlobalAveragePoolNode():
                out = v.mean(axis=(1, 2))
            case graph.FlattenNode():
                out = v.reshape(len(v), -1)
            case graph.AddNode():
                out = v + values[node.other]
            case _:
                out = np.concatenate([v, values[node.other]], axis=-1)
        values[node.name] = out
    return values, codes


def fake_quantize(quantizer, v):
    """Codes and values: round(clip((v - offset) / step)), ties to even."""
    step, offset = quantizer.step_size.astype(np.float64), quantizer.offset.value.astype(np.float64)
    q = np.rint(np.clip((v - offset) / step, quantizer.format.min, quantizer.format.max))
    return q.astype(np.int64), q * step + offset


def weights(model, node):
    """Dequantized weights; their codes by float32 division, as training forms them."""
    quantizer = model.weight_quantizer(node.name)
    w = model.state()[f"{node.name}.weight"]
    u = np.clip(w / quantizer.step_size, np.float32(quantizer.format.min), quantizer.format.max)
    return np.rint(u).astype(np.float64) * quantizer.step_size.astype(np.float64)


def bias(state, node):
    return state.get(f"{node.name}.bias", 0.0)


def slices(v, node, padding, fill):
    """Values under each kernel position, for all windows."""
    top, bottom, left, right = padding
    padded = np.pad(v, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    oh = (padded.shape[1] - node.kernel[0]) // node.stride[0] + 1
    ow = (padded.shape[2] - node.kernel[1]) // node.stride[1] + 1
    rows, cols = np.arange(oh) * node.stride[0], np.arange(ow) * node.stride[1]
    return [
        padded[:, rows[:, None] + i, cols[None, :] + j]
        for i, j in product(range(node.kernel[0]), range(node.kernel[1]))
    ]


def convolve(v, w, node, pad):
    """One output position and channel group at a time."""
    top, bottom, left, right = node.padding
    padded = np.pad(v, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=pad)
    kh, kw, per_group, channels = w.shape
    (sh, sw), (dh, dw) = node.stride, node.dilation
    oh = (padded.shape[1] - dh * (kh - 1) - 1) // sh + 1
    ow = (padded.shape[2] - dw * (kw - 1) - 1) // sw + 1
    out = np.zeros((len(v), oh, ow, channels))
    share = channels // node.groups
    for i, j, g in product(range(oh), range(ow), range(node.groups)):
        rows, cols = i * sh + dh * np.arange(kh), j * sw + dw * np.arange(kw)
        patch = padded[:, rows[:, None], cols[None, :], g * per_group : (g + 1) * per_group]
        mine = slice(g * share, (g + 1) * share)
        out[:, i, j, mine] = np.tensordot(patch, w[..., mine], axes=3)
    return out
