"""Hypothesis strategies for the specifications of the gradient engine."""

from hypothesis import strategies as st

from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat
from lsqsim.learn.graph import (
    INPUT,
    AddNode,
    AnyNode,
    AveragePoolNode,
    BatchNormNode,
    Bias,
    ConcatNode,
    Conv2dNode,
    FlattenNode,
    GraphSpec,
    LinearNode,
    MaxPoolNode,
    QuantizeNode,
    ReluNode,
    WeightQuantizer,
)
from lsqsim.learn.rule import (
    EdgeMask,
    FeatureCount,
    GradScale,
    Granularity,
    Learning,
    LevelCount,
    Method,
    Positivity,
    StepRule,
    StepStart,
)

learned_formats = st.builds(IntFormat, st.integers(2, 16), signed=st.booleans())


def _rules(methods):
    return st.builds(
        StepRule,
        method=st.sampled_from(methods),
        edge_mask=st.sampled_from(EdgeMask),
        feature_count=st.sampled_from(FeatureCount),
        level_count=st.sampled_from(LevelCount),
        grad_scale=st.sampled_from(GradScale),
        grad_factor=st.floats(1e-6, 1e6),
        start=st.sampled_from(StepStart),
        positivity=st.sampled_from(Positivity),
        granularity=st.sampled_from(Granularity),
        learning=st.sampled_from(Learning),
    )


step_rules = _rules(list(Method))
weight_rules = _rules([Method.LSQ, Method.TQT])

weight_quantizers = st.builds(WeightQuantizer, format=learned_formats, rule=weight_rules)
_images = st.sampled_from([(8, 9, 4), (7, 8, 2)])
_pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
_margins = st.tuples(*[st.integers(0, 2)] * 4)


@st.composite
def graphs(draw):
    """A chain of nodes of all kinds, each fitting the one before it; some branch and join."""
    shape = draw(_images)
    nodes: list[AnyNode] = []
    source, before = INPUT, None
    for i in range(draw(st.integers(1, 6))):
        names = {"name": f"n{i}", "source": source}
        spec = draw(st.one_of(_image_nodes(names, before)))
        try:
            GraphSpec(input_shape=shape, nodes=(*nodes, spec))
        except SpecError:  # the image became too small
            break
        nodes.append(spec)
        before, source = source, spec.name
    nodes.append(FlattenNode(name="flat", source=source))
    nodes.append(
        LinearNode(
            name="last",
            source="flat",
            features=draw(st.integers(1, 5)),
            bias=draw(st.sampled_from(Bias)),
            weights=draw(st.none() | weight_quantizers),
        )
    )
    return GraphSpec(input_shape=shape, nodes=tuple(nodes))


def _image_nodes(names, before):
    """Strategies for the next node; additions and concatenations join it with what came before."""
    source = names["source"]
    layers = st.builds(
        Conv2dNode,
        **{key: st.just(value) for key, value in names.items()},
        channels=st.sampled_from([2, 4]),
        kernel=_pairs,
        stride=_pairs,
        padding=_margins,
        dilation=_pairs,
        groups=st.sampled_from([1, 2]),
        bias=st.sampled_from(Bias),
        weights=st.none() | weight_quantizers,
    )
    choices = [
        layers,
        st.just(ReluNode(**names)),
        st.just(BatchNormNode(**names, momentum=0.25)),
        st.just(MaxPoolNode(**names, kernel=(3, 2), padding=(1, 0, 0, 1))),
        st.just(AveragePoolNode(**names, stride=(1, 2))),
        st.builds(
            QuantizeNode,
            **{key: st.just(value) for key, value in names.items()},
            format=learned_formats,
            rule=weight_rules,
        ),
        st.just(AddNode(**names, other=source)),
    ]
    if before is not None:
        choices.append(st.just(ConcatNode(**names, other=before)))
    return choices
