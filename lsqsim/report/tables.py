"""Reports as tables that fit 80 columns; rich draws them in ASCII where the terminal needs it."""

from typing import Any

from rich.console import Console

from lsqsim.report.layout import k_index, number, pairs, percent, table

Report = dict[str, Any]

N_FIRST_CHANNELS = 4
N_WORST_CHANNELS = 8

_PARAMETER_COLUMNS = {
    "fixed_point": {"multiplier": "multiplier", "shift": "shift"},
    "float_scale": {"scale": "scale"},
    "power_of_two": {"shift": "shift"},
    "thresholds": {
        "n_thresholds": "thresholds",
        "first_threshold": "first",
        "last_threshold": "last",
    },
}


def print_simulation(report: Report, console: Console) -> None:
    """Print what :func:`~lsqsim.report.simulation_report` returned."""
    _print_units(report, console)
    _print_layer(report["layer"], console)
    _print_factors(report["factors"], console)
    _print_overflow(report["overflow"], console)
    _print_comparison(report["comparison"], console)


def print_description(report: Report, console: Console) -> None:
    """Print what :func:`~lsqsim.report.description_report` returned."""
    _print_units(report, console)
    if "layer" in report:
        _print_layer(report["layer"], console)
    if "factors" in report:
        _print_factors(report["factors"], console)


def _print_units(report: Report, console: Console) -> None:
    rows = [(row["unit"], row["format"], row["rule"]) for row in report["datapath"]["units"]]
    console.print(table("Datapath", ("unit", "format", "rule"), rows))


def _print_layer(layer: Report, console: Console) -> None:
    rows = [("layer", f"{layer['name']} ({layer['kind']}{_settings(layer['spec'])})")]
    if "m" in layer:
        rows.append(("M x K x N", f"{layer['m']} x {layer['k']} x {layer['n']}"))
        rows.append(("input", f"{_shape(layer['input_shape'])}, {_steps(layer, 'input')}"))
    else:
        rows.append(("K x N", f"{layer['k']} x {layer['n']}"))
        rows.append(("input", _steps(layer, "input")))
    rows.append(("weight", f"{_shape(layer['weight_shape'])}, {_steps(layer, 'weight')}"))
    shape = f"{_shape(layer['output_shape'])}, " if "m" in layer else ""
    rows.append(("output", f"{shape}{_steps(layer, 'output')}"))
    for key, name in (("weight_codes", "weight codes"), ("bias_codes", "bias codes")):
        if layer.get(key) is not None:
            rows.append((name, f"{layer[key][0]} .. {layer[key][1]}"))
    if layer.get("n_clipped_bias"):
        rows.append(("bias clipped", f"in {layer['n_clipped_bias']} channels: widen its format"))
    console.print(pairs("Layer", rows))


def _print_factors(factors: Report, console: Console) -> None:
    names = _PARAMETER_COLUMNS[factors["kind"]]
    if "addend" in factors:
        names = names | {"addend": "addend"}
    n = len(factors["factor"])
    rows = [
        [
            str(channel) if n > 1 else "all",
            *(number(_entry(factors[name], channel)) for name in names),
            number(factors["factor"][channel]),
            number(factors["fold_error"][channel], digits=3),
            note,
        ]
        for channel, note in _notable(factors)
    ]
    columns = ("channel", *names.values(), "factor", "fold error", "")
    title = "Rescaling" if len(rows) == n else f"Rescaling ({len(rows)} of {n} channels)"
    console.print(table(title, columns, rows, right=range(len(columns) - 1)))


def _notable(factors: Report) -> list[tuple[int, str]]:
    """The first channels, and those at the ends: smallest and largest factor, largest error."""
    n = len(factors["factor"])
    notes: dict[int, list[str]] = {channel: [] for channel in range(min(n, N_FIRST_CHANNELS))}
    if n > 1:
        sizes, errors = factors["factor"], [abs(e) for e in factors["fold_error"]]
        for values, choose, note in (
            (sizes, min, "least factor"),
            (sizes, max, "largest factor"),
            (errors, max, "largest error"),
        ):
            notes.setdefault(values.index(choose(values)), []).append(note)
    return [(channel, ", ".join(notes[channel])) for channel in sorted(notes)]


def _print_overflow(overflow: Report, console: Console) -> None:
    n = overflow["outputs"]
    clean = n - overflow["transient"] - overflow["persistent"]
    rows = [("none", clean), ("transient", overflow["transient"])]
    rows.append(("persistent", overflow["persistent"]))
    cells = [(kind, str(count), percent(count, n)) for kind, count in rows]
    console.print(table("Overflow", ("kind", "outputs", "share"), cells, right=(1, 2)))
    first = overflow["first"]
    if first is not None:
        console.print(
            pairs(
                "First overflow",
                [
                    ("output", str(first["output"])),
                    ("where", f"stage {first['stage']}, {k_index(first['k'])}"),
                    ("kind", f"{first['kind']}; exact total {first['total']}"),
                ],
            )
        )
    if "by_channel" in overflow:
        _print_channels(overflow["by_channel"], console)


def _print_channels(channels: list[Report], console: Console) -> None:
    ranked = sorted(enumerate(channels), key=lambda item: (-item[1]["share"], item[0]))
    worst = ranked[:N_WORST_CHANNELS]
    rows = [
        (
            str(channel),
            str(counts["outputs"]),
            str(counts["transient"]),
            str(counts["persistent"]),
            percent(counts["transient"] + counts["persistent"], counts["outputs"]),
        )
        for channel, counts in worst
    ]
    title = "Overflow by channel"
    if len(worst) < len(channels):
        title += f" (worst {len(worst)} of {len(channels)})"
    columns = ("channel", "outputs", "transient", "persistent", "share")
    console.print(table(title, columns, rows, right=range(5)))


def _print_comparison(comparison: Report, console: Console) -> None:
    n = comparison["n_outputs"]
    differing = comparison["n_differing"]
    rows = [
        ("verdict", comparison["verdict"]),
        ("outputs that differ", f"{differing} of {n} ({percent(differing, n)})"),
        ("SQNR", _or_none(comparison["sqnr_db"], "dB", "none: no noise, or no signal")),
        (
            "analytic bound",
            _or_none(comparison["bound_lsb"], "LSB", "none: a register may overflow"),
        ),
        ("beyond the bound", str(comparison["n_beyond_bound"])),
        ("inexact accumulators", str(comparison["n_inexact"])),
        ("first difference", _difference(comparison["first_difference"])),
    ]
    console.print(pairs("Against the float reference", rows))


def _difference(difference: Report | None) -> str:
    if difference is None:
        return "none"
    where = f"{difference['register']}{difference['index']}"
    if difference["tile"] is not None:
        where += f" tile {difference['tile']}"
    if difference["k_range"] is not None:
        where += f", {k_index(difference['k_range'][0])}"
    left, right = number(difference["left"]), number(difference["right"])
    return f"{where}: {left} in integers, {right} in the reference"


def _settings(spec: Report) -> str:
    return "".join(f", {key} {_shape(value)}" for key, value in spec.items() if value != "none")


def _shape(value: Any) -> str:
    return f"({', '.join(map(str, value))})" if isinstance(value, list) else str(value)


def _steps(layer: Report, name: str) -> str:
    step, zero = layer[f"{name}_step"], layer[f"{name}_zero_point"]
    calibrated = " (calibrated)" if f"{name}_step" in layer["calibrated"] else ""
    return f"step size {_span(step)}{calibrated}, zero point {_span(zero)}"


def _span(value: Any) -> str:
    """A number; the ends of several; or that it is missing."""
    if value is None:
        return "missing"
    if not isinstance(value, list):
        return number(value)
    ends = f"{number(min(value))} .. {number(max(value))} " if value else ""
    return f"{ends}({len(value)} channels)"


def _entry(values: Any, channel: int) -> Any:
    return values[channel] if isinstance(values, list) else values


def _or_none(value: float | None, unit: str, otherwise: str) -> str:
    return otherwise if value is None else f"{value:.4g} {unit}"
