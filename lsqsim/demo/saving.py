"""The demonstration's layers, inputs and datapaths as files, for the command line to go on with."""

import shlex
from pathlib import Path

from lsqsim.demo.results import DemoResult, DesignRun
from lsqsim.demo.runs import flat_pixels
from lsqsim.errors import DataError
from lsqsim.files import Writer, npy_writer, text_writer, write_files
from lsqsim.layer_file import save_layer
from lsqsim.network.network_file import save_network

_IMAGES = "images.npy"


def save_demo(result: DemoResult, directory: str | Path) -> None:
    """Write one folder a design: ``layer1.npz``, ``layer1_input.npy``, ``layer1.toml``, and so on.

    The inputs are the real values of the codes that entered the layer in the
    whole network's run (the pixels, for the first), so that each layer alone
    gives the same bits again. Beside the folders are the whole network on the
    first design of each width, ``w8a8.npz`` and so on, its input ``images.npy``
    and the images' classes, ``classes.npy``.

    Parameters
    ----------
    result : DemoResult
        What to save.
    directory : path
        Made if it isn't there; files of the same names are replaced.

    Raises
    ------
    DataError
        A path that can't be written.
    """
    root = Path(directory)
    for run in result.designs:
        folder = root / run.design.name
        _make(folder)
        for layer in run.layers:
            save_layer(_file(folder, layer.compiled.layer.name, ".npz"), layer.compiled.layer)
        write_files(_inputs_and_datapaths(result, run, folder))
    for bits in result.learned:
        save_network(root / _network_name(bits), result.widest(bits).network)
    test = result.data_set.test
    images = result.data_set.real(test.values)
    write_files({root / _IMAGES: npy_writer(images), root / "classes.npy": npy_writer(test.labels)})


def network_command(result: DemoResult, directory: str | Path) -> str:
    """The shell command that runs the network of the narrowest codes, from its files."""
    root, bits = Path(directory), min(result.learned)
    network, images = (shlex.quote(str(root / name)) for name in (_network_name(bits), _IMAGES))
    return f"  lsqsim simulate {network} {images}"


def simulate_command(result: DemoResult, directory: str | Path) -> list[str]:
    """Lines of the shell command that runs the layer of the register walk again, from its files."""
    walk = result.walk
    folder = Path(directory) / walk.design
    layer, values, datapath = (
        shlex.quote(str(_file(folder, walk.layer, suffix)))
        for suffix in (".npz", "_input.npy", ".toml")
    )
    return [f"  lsqsim simulate {layer} \\", f"    {values} \\", f"    --datapath {datapath}"]


def _inputs_and_datapaths(result: DemoResult, run: DesignRun, folder: Path) -> dict[Path, Writer]:
    writers: dict[Path, Writer] = {}
    values = flat_pixels(result.data_set)
    for layer in run.layers:
        name = layer.compiled.layer.name
        writers[_file(folder, name, "_input.npy")] = npy_writer(values)
        writers[_file(folder, name, ".toml")] = text_writer(layer.compiled.spec.to_toml())
        values = layer.result.output.dequantize()
    return writers


def _network_name(bits: int) -> str:
    return f"w{bits}a{bits}.npz"


def _file(folder: Path, name: str, suffix: str) -> Path:
    return folder / f"{name}{suffix}"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: can't be made: {error.strerror}") from None
