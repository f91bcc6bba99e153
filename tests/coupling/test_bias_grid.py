"""Tests for lsqsim.coupling.bias_grid: biases of the training network on the integers' grid."""

import numpy as np

from lsqsim.coupling.bias_grid import biases_on_grid
from lsqsim.coupling.fold import fold_model
from trained_models import every_kind, hardware, trained


def folded(model):
    return fold_model(model, hardware(), output_step=0.001)


def integers(network):
    """Bias codes of every layer."""
    return {
        name: None if node.unit.bias is None else node.unit.bias.codes.tolist()
        for name, node in network.layers.items()
    }


def rounding(network):
    """Largest distance of a real bias from its code, in codes."""
    units = [node.unit for node in network.layers.values() if node.unit.bias is not None]
    return max(
        np.abs(unit.layer.bias / unit.bias.step_size - unit.bias.codes).max() for unit in units
    )


class TestBiasesOnGrid:
    def test_which_arrays(self):
        """Where a batch normalization follows, its beta; the bias of other layers that have one."""
        model, _ = trained(every_kind())
        moved = biases_on_grid(model, folded(model))
        assert list(moved) == ["c1_norm.beta", "c2_norm.beta", "c3.bias", "f1_norm.beta", "f2.bias"]
        plain, _ = trained(every_kind(normed=False))
        assert list(biases_on_grid(plain, folded(plain))) == ["c2.bias", "c3.bias", "f2.bias"]

    def test_the_integers_stay(self):
        model, _ = trained(every_kind(), negative=0.5)
        before = folded(model)
        assert rounding(before.network) > 0.1
        moved = biases_on_grid(model, before)
        assert all(array.dtype == np.float32 for array in moved.values())
        model.load_state(model.state() | moved)
        after = folded(model)
        assert integers(after.network) == integers(before.network)
        assert rounding(after.network) < 1e-2

    def test_a_clipped_bias_is_where_it_was_clipped(self):
        model, _ = trained(every_kind())
        model.array("f2.bias")[0] = 1e12
        before = folded(model)
        assert before.network.layers["f2"].unit.n_clipped_bias == 1
        moved = biases_on_grid(model, before)
        assert moved["f2.bias"][0] < 1e9

    def test_biases_of_zero_stay(self):
        model, _ = trained(every_kind())
        model.array("f2.bias")[:] = 0
        before = folded(model)
        assert before.network.layers["f2"].unit.bias is None
        assert not biases_on_grid(model, before)["f2.bias"].any()

    def test_the_model_is_left_alone(self):
        model, _ = trained(every_kind())
        state = model.state()
        biases_on_grid(model, folded(model))
        assert all((array == state[name]).all() for name, array in model.state().items())
