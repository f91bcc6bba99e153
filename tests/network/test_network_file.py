"""Tests for lsqsim.network.network_file: round trips, and files that are damaged or hostile."""

import tomllib

import numpy as np
import pytest
import tomli_w
from hypothesis import given, settings, strategies as st

from lsqsim.errors import DataError, LsqsimError, SpecError
from lsqsim.layer_file import save_layer
from lsqsim.network.encoding import Encoding, InputSpec
from lsqsim.network.network import Keep, Network
from lsqsim.network.network_file import STRUCTURE, load_if_network, load_network, save_network
from lsqsim.specs import QuantizerSpec
from networks import S8, code_graphs, every_kind, inputs, layer_node


@pytest.fixture
def path(tmp_path):
    """A file of a network with a node of every kind."""
    save_network(tmp_path / "net.npz", every_kind())
    return tmp_path / "net.npz"


def arrays_of(path):
    with np.load(path) as file:
        return dict(file)


def write(path, arrays, structure=None):
    if structure is not None:
        text = structure if isinstance(structure, str) else tomli_w.dumps(structure)
        arrays = arrays | {STRUCTURE: np.frombuffer(text.encode(), np.uint8)}
    np.savez(path, **arrays)


def structure_of(arrays):
    return tomllib.loads(arrays[STRUCTURE].tobytes().decode())


def same(left, right, x):
    """Whether two networks do the same in every register."""
    runs = [network.run(x, keep=Keep.ALL, observe=True) for network in (left, right)]
    assert list(runs[0].results) == list(runs[1].results)
    for name, result in runs[0].results.items():
        other = runs[1].results[name]
        assert (result.output.codes == other.output.codes).all()
        assert np.array_equal(result.accumulators, other.accumulators)
    assert left.encodings == right.encodings
    assert left.shapes == right.shapes


class TestRoundTrip:
    def test_every_kind_of_node(self, path):
        network = every_kind()
        read = load_network(path)
        same(network, read, inputs(network, 4))
        codes = [node for name, node in network.nodes.items() if name not in network.layers]
        assert codes == [node for name, node in read.nodes.items() if name not in read.layers]
        for name, node in network.layers.items():
            assert node.unit.spec == read.layers[name].unit.spec

    @settings(max_examples=30)
    @given(st.data())
    def test_random_graphs(self, tmp_path_factory, data):
        network = data.draw(code_graphs())
        path = tmp_path_factory.mktemp("net") / "net.npz"
        save_network(path, network)
        same(network, load_network(path), inputs(network, 2))

    def test_real_weights_and_numbers_of_any_type(self, tmp_path):
        one = Encoding(format=S8, step_size=1.0)
        x = InputSpec(shape=(2,), quantizer=QuantizerSpec(format=S8), step_size=1.0)
        node = layer_node(
            "fc", "input", one, one, np.eye(2, dtype=int),
            weight=np.array([[1, 0], [0, 2]]), weight_codes=None, weight_step=np.float32(0.5),
            weight_zero_point=np.array([1, 0]), input_step=1, output_step=np.int64(1),
        )  # fmt: skip
        network = Network(x, [node])
        save_network(tmp_path / "net.npz", network)
        same(network, load_network(tmp_path / "net.npz"), [[3.0, -4.0]])

    def test_a_layer_is_no_network(self, tmp_path):
        layer = every_kind().layers["fc"].unit.layer
        save_layer(tmp_path / "fc.npz", layer)
        assert load_if_network(tmp_path / "fc.npz") is None
        with pytest.raises(DataError, match=r"fc\.npz: is no network: lsqsim\.network is missing"):
            load_network(tmp_path / "fc.npz")

    def test_found_by_content(self, path):
        assert load_if_network(path).output_name == "fc"


class TestHostileFiles:
    def test_no_file_and_no_archive(self, tmp_path):
        with pytest.raises(DataError, match=r"can't be read: No such file"):
            load_network(tmp_path / "none.npz")
        (tmp_path / "bad.npz").write_bytes(b"\x80\x04 a pickle")
        with pytest.raises(DataError, match=r"bad\.npz: is a pickle, which could run code"):
            load_network(tmp_path / "bad.npz")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("x = [", r"malformed TOML"),
            ("a = " + "[" * 5000, r"malformed TOML"),
            ("version = 1", r"has the keys version, input and nodes, got version$"),
            ("", r"has the keys version, input and nodes, got none"),
            ("version = 2\nnodes = []\ninput = 1", r"version must be 1, got 2"),
            ("version = 1\nnodes = 1\ninput = 1", r"nodes must be a list of tables, got 1"),
            ("version = 1\nnodes = []\ninput = 1", r"input must be a table, got 1"),
        ],
    )
    def test_structures(self, path, text, message):
        write(path, arrays_of(path), text)
        with pytest.raises(SpecError, match=message) as error:
            load_network(path)
        assert str(error.value).startswith(f"{path}: ")

    def test_text_that_is_no_text(self, path):
        arrays = arrays_of(path)
        write(path, arrays | {STRUCTURE: np.array([255, 254], np.uint8)})
        with pytest.raises(SpecError, match=r"lsqsim\.network: malformed TOML: .*utf-8"):
            load_network(path)
        write(path, arrays | {STRUCTURE: np.zeros((2, 2))})
        with pytest.raises(
            DataError, match=r"must be a row of uint8, got float64 of shape \(2, 2\)"
        ):
            load_network(path)

    @pytest.mark.parametrize(
        ("index", "changes", "message"),
        [
            (0, {"kind": "lstm"}, r"nodes\[0\]\.kind must be one of layer, flatten, .* got 'lstm'"),
            (0, {"kind": 3}, r"nodes\[0\]\.kind must be one of"),
            (0, {"size": 3}, r"unknown key nodes\[0\]\.size; legal keys are name, source, layer"),
            (1, {"source": "fc"}, r"narrow takes 'fc', which no node before it is called"),
            (1, {"source": "narrow"}, r"narrow takes 'narrow', which no node before it"),
            (1, {"source": "nowhere"}, r"narrow takes 'nowhere', which no node before it"),
            (1, {"name": "conv"}, r"node names are unique, .* got 'conv'"),
            (1, {"bias": float("nan")}, r"narrow: bias must be finite, got nan"),
            (3, {"other": 7}, r"nodes\[3\]\.other must be a string, got 7"),
            (4, {"kernel": [2]}, r"nodes\[4\]\.kernel must have 2 items, got 1"),
            (4, {"kernel": [10**9, 2]}, r"max: a window of 1000000000 x 2 does not fit"),
            (4, {"padding": [0, 0, 10**9, 0], "kernel": [1, 10**9 + 1]}, r"max pads to"),
            (0, {"input_zero_point": 4000}, r"conv: .*zero_point must be a code of int8"),
        ],
    )
    def test_nodes(self, path, index, changes, message):
        arrays = arrays_of(path)
        structure = structure_of(arrays)
        structure["nodes"][index] |= changes
        write(path, arrays, structure)
        with pytest.raises(LsqsimError, match=message) as error:
            load_network(path)
        assert str(error.value).startswith(f"{path}: ")

    def test_a_node_that_is_no_table(self, path):
        arrays = arrays_of(path)
        write(path, arrays, structure_of(arrays) | {"nodes": [1]})
        with pytest.raises(SpecError, match=r"nodes\[0\] must be a table, got 1"):
            load_network(path)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"conv/input_step": None}, r"conv: the array conv/input_step is missing"),
            ({"conv/weight_zero_point": None}, r"conv: the array conv/weight_zero_point is"),
            ({"conv/weight_codes": None}, r"conv: give either weight \(real\) or weight_codes"),
            ({"conv/more": np.zeros(1)}, r"unknown key 'conv/more': no layer has such an array"),
            ({"more": np.zeros(1)}, r"unknown key 'more': no layer has such an array"),
            ({"conv/weight_codes": np.zeros((3, 3, 3, 2))},
             r"conv: conv/weight_codes must hold integers of at most 64 bits, got dtype float64"),
            ({"conv/weight_codes": np.zeros((3, 3, 3, 2), complex)}, r"must hold integers"),
            ({"conv/weight_codes": np.full((3, 3, 3, 2), 99)}, r"conv: weight_codes must be codes"),
            ({"conv/weight_codes": np.zeros((3, 3), int)}, r"conv: weights of a Conv2d layer have"),
            ({"conv/weight_codes": np.zeros((3, 3, 3, 9), int)}, r"conv: .* do not meet"),
            ({"conv/bias": np.zeros(2)}, r"conv: bias must have shape \(3,\)"),
            ({"conv/bias": np.zeros(3, np.longdouble)}, r"must hold real numbers of at most 64"),
            ({"conv/bias": np.full(3, np.nan)}, r"conv: NaN has no code"),
            ({"conv/weight_step": np.zeros(3)}, r"conv: step_size must be finite and positive"),
            ({"conv/weight_step": np.ones(2)}, r"conv: weight_step must be one real number"),
            ({"conv/output_step": np.ones(3)}, r"conv: a node's codes have one step size"),
            ({"conv/output_step": np.array(np.nan)}, r"conv: the factor s_x\*s_w/s_y must be"),
        ],
    )  # fmt: skip
    def test_arrays(self, path, changes, message):
        arrays = {
            key: each for key, each in (arrays_of(path) | changes).items() if each is not None
        }
        write(path, arrays)
        with pytest.raises(LsqsimError, match=message) as error:
            load_network(path)
        assert str(error.value).startswith(f"{path}: ")
        assert "\n" not in str(error.value)
