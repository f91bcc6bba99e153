"""The command ``train``: its many options, in groups, and which of them exclude each other."""

from collections.abc import Callable
from typing import Any

import click

from lsqsim.cli import options as opt
from lsqsim.cli.parameters import FILE, OVERFLOW, REGISTER_BITS
from lsqsim.formats import Overflow

Command = Callable[..., None]

_BITS = click.IntRange(1, 16)
_COUNT = click.IntRange(1)
_RATE = click.FloatRange(0, min_open=True)
_MAX_SEED = (1 << 32) - 1

_DEFAULT_BITS, _DEFAULT_ACC_BITS = 4, 32
_FLOAT_EPOCHS, _FLOAT_RATE = 30, 0.05


class RuleMember(click.ParamType):
    """The name of a member of an enumeration of :mod:`lsqsim.learn.rule`, as the member."""

    def __init__(self, enumeration: str) -> None:
        self.name = enumeration

    def _members(self) -> Any:
        from lsqsim.learn import rule  # noqa: PLC0415 - brings the specifications

        return getattr(rule, self.name)

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        members = self._members()
        if isinstance(value, members):
            return value
        names = [member.value for member in members]
        if value not in names:
            self.fail(f"{value!r} is not one of {', '.join(names)}", param, ctx)
        return members(value)

    def get_metavar(self, param: Any, ctx: Any = None) -> str:  # noqa: ARG002 - click's
        return f"[{'|'.join(member.value for member in self._members())}]"


_NETWORK = (
    click.option(
        "--network",
        metavar="NAME|FILE.toml",
        help="perceptron, residual, or a float network as TOML.  [default: residual for images "
        "of 16 x 16 and larger]",
    ),
    click.option(
        "--float-from",
        type=FILE,
        metavar="DIR",
        help="Take the float network that an earlier call left in its --output.",
    ),
)
_PRECISION = (
    click.option("--bits", type=_BITS, metavar="BITS", help="Of weights and activations."),
    click.option(
        "--weight-bits", type=_BITS, metavar="BITS", help="Signed weight codes.  [default: 4]"
    ),
    click.option(
        "--activation-bits", type=_BITS, metavar="BITS", help="Activation codes.  [default: 4]"
    ),
    click.option("--per-channel", is_flag=True, help="One weight step size an output channel."),
)
_RULE = {
    "method": ("Method", "lsq", "Which published quantizer is trained."),
    "edge_mask": ("EdgeMask", "inclusive", "What counts as inside the range."),
    "feature_count": ("FeatureCount", "sample", "What N counts for activations."),
    "level_count": ("LevelCount", "q_p", "What stands for the precision in the grad scale."),
    "grad_scale": ("GradScale", "paper", "Factor of the step sizes' gradients."),
    "step_start": ("StepStart", "paper", "Where step sizes start."),
    "positivity": ("Positivity", "refuse", "What keeps step sizes positive."),
    "step_learning": ("Learning", "learned", "Whether step sizes move at all."),
}
_RECIPE = (
    click.option(
        "--float-epochs", type=_COUNT, metavar="N", help=f"[default: {_FLOAT_EPOCHS}]"
    ),
    click.option("--epochs", type=_COUNT, metavar="N", default=30, show_default=True,
                 help="With quantizers."),
    click.option("--batch-size", type=_COUNT, metavar="N", default=128, show_default=True),
    click.option(
        "--float-learning-rate", type=_RATE, metavar="RATE", help=f"[default: {_FLOAT_RATE}]"
    ),
    click.option(
        "--learning-rate",
        type=_RATE,
        metavar="RATE",
        help="With quantizers.  [default: 0.01 below 8 bits, 0.001 from 8 bits on]",
    ),
    click.option("--seed", type=click.IntRange(0, _MAX_SEED), default=0, show_default=True),
    click.option("--crop", type=click.IntRange(0), metavar="PIXELS", default=0, show_default=True,
                 help="Move training images by up to so many pixels."),
    click.option("--flip", is_flag=True, help="Mirror half of the training images."),
    click.option("--distill", is_flag=True, help="Learn from the float network's outputs, too."),
)  # fmt: skip
_ACCELERATOR = (
    click.option(
        "--hardware", type=FILE, metavar="FILE.toml", help="The accelerator, as TOML."
    ),
    click.option(
        "--acc-bits", type=REGISTER_BITS, metavar="BITS",
        help=f"Accumulator.  [default: {_DEFAULT_ACC_BITS}]",
    ),
    click.option("--overflow", type=OVERFLOW, help="Of the accumulator.  [default: wrap]"),
    click.option(
        "--integers-every", type=_COUNT, metavar="N",
        help="Test on the integers after every N-th epoch and the last one, for the log.",
    ),
    click.option(
        "--hardware-in-the-loop", is_flag=True,
        help="Then go on training on the integers: every forward pass runs on the accelerator.",
    ),
)  # fmt: skip


def _rule_options() -> list[Callable[[Command], Command]]:
    options = [
        click.option(
            f"--{name.replace('_', '-')}", name, type=RuleMember(enumeration), default=default,
            help=help_text, show_default=True,
        )
        for name, (enumeration, default, help_text) in _RULE.items()
    ]  # fmt: skip
    factor = click.option(
        "--grad-factor", type=_RATE, metavar="FACTOR", default=1.0, show_default=True,
        help="Multiplies the grad scale.",
    )  # fmt: skip
    return [*options, factor]


def training_options(command: Command) -> Command:
    """All options of ``train`` but ``--output``, ``--restart`` and ``--json``."""
    groups = (*_NETWORK, *_PRECISION, *_rule_options(), *_RECIPE, *_ACCELERATOR)
    for option in reversed(groups):
        command = option(command)
    return command


@click.command()
@click.argument("data", metavar="DATA")
@click.option(
    "--output", type=FILE, metavar="DIR", required=True,
    help="Folder of all that is written; training goes on from what is there.",
)  # fmt: skip
@training_options
@click.option("--restart", is_flag=True, help="Begin anew, whatever is in the folder.")
@opt.as_json
def train(*, as_json: bool, **options: Any) -> None:
    """Train a network, learn its step sizes, and run it on the integers.

    DATA is digits (scikit-learn's), a .npz file, or a folder with the files of MNIST,
    Fashion-MNIST or CIFAR-10. First a float network is trained, then its quantized version from
    there, first and last layer at 8 bits; then it is folded to integers and run on the test set.

    DIR receives network.npz (the integer network), log.csv and log.jsonl, training.svg, and
    checkpoint.npz; float/ in it the same of the float network, and ordinary/ of the quantized
    one before it was trained on the integers. Called again, an interrupted training goes on
    after its last epoch, with the same bits as if nothing had happened.
    """
    from lsqsim import commands  # noqa: PLC0415 - brings NumPy and Numba

    commands.train(_arguments(options), as_json=as_json)


def _arguments(options: dict[str, Any]) -> Any:
    from lsqsim.commands.training_arguments import Accelerator, Recipe, Training  # noqa: PLC0415

    _check(options)
    bits = options["bits"] or _DEFAULT_BITS
    recipe = Recipe(
        float_epochs=options["float_epochs"] or _FLOAT_EPOCHS,
        float_learning_rate=options["float_learning_rate"] or _FLOAT_RATE,
        **_some(options, "epochs", "batch_size", "learning_rate", "seed"),
        **_some(options, "crop", "flip", "distill"),
    )
    accelerator = Accelerator(
        hardware=options["hardware"],
        acc_bits=options["acc_bits"] or _DEFAULT_ACC_BITS,
        overflow=options["overflow"] or Overflow.WRAP,
        every=options["integers_every"],
        in_the_loop=options["hardware_in_the_loop"],
    )
    return Training(
        weight_bits=options["weight_bits"] or bits,
        activation_bits=options["activation_bits"] or bits,
        rule=_rule(options),
        recipe=recipe,
        accelerator=accelerator,
        **_some(options, "data", "output", "network", "float_from", "per_channel", "restart"),
    )


def _rule(options: dict[str, Any]) -> Any:
    from lsqsim.learn.rule import StepRule  # noqa: PLC0415

    names = [name for name in _RULE if name not in ("step_start", "step_learning")]
    return StepRule(
        start=options["step_start"],
        learning=options["step_learning"],
        **_some(options, *names, "grad_factor"),
    )


def _some(options: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: options[name] for name in names}


def _check(options: dict[str, Any]) -> None:
    """Options that exclude each other."""
    _exclude(options, "bits", ("weight_bits", "activation_bits"), "states both widths")
    _exclude(options, "hardware", ("acc_bits", "overflow"), "states the whole accelerator")
    _exclude(
        options,
        "float_from",
        ("network", "float_epochs", "float_learning_rate"),
        "takes a float network that is trained",
    )


def _exclude(options: dict[str, Any], name: str, others: tuple[str, ...], why: str) -> None:
    given = [f"--{other.replace('_', '-')}" for other in others if options[other] is not None]
    if options[name] is not None and given:
        raise click.UsageError(
            f"--{name.replace('_', '-')} {why}: leave out {', '.join(given)}, or it"
        )
