from .accumulator_aware.weight_budget import (
    WeightBudget as WeightBudget,
)
from .accumulator_aware.weight_limits import (
    Constraint as Constraint,
)
from .budget.bounds import (
    StageBounds as StageBounds,
    layer_bounds as layer_bounds,
)
from .budget.certificate import (
    Certificate as Certificate,
    StageCertificate as StageCertificate,
    certify as certify,
)
from .budget.input_range import (
    InputRange as InputRange,
)
from .budget.ranges import (
    Verdict as Verdict,
)
from .budget.witness import (
    Witness as Witness,
    witness_input as witness_input,
)
from .certificate_audit import (
    check_certificate as check_certificate,
)
from .chain import (
    Chain as Chain,
)
from .compare import (
    Comparison as Comparison,
)
from .coupling.evaluation import (
    IntegerEvaluation as IntegerEvaluation,
    evaluate_on_integers as evaluate_on_integers,
)
from .coupling.fold import (
    FoldedNetwork as FoldedNetwork,
    fold_model as fold_model,
)
from .coupling.hardware import (
    HardwareSpec as HardwareSpec,
)
from .coupling.replay import (
    HardwareReplay as HardwareReplay,
)
from .data_sets.augmentation import (
    Augmentation as Augmentation,
    Flip as Flip,
)
from .data_sets.loading import (
    load_data_set as load_data_set,
)
from .data_sets.samples import (
    DataSet as DataSet,
    Samples as Samples,
)
from .datapath import (
    CompiledLayer as CompiledLayer,
    LayerResult as LayerResult,
)
from .design.grid import (
    DesignGrid as DesignGrid,
)
from .design.side_by_side import (
    compare_designs as compare_designs,
)
from .error_bound import (
    ErrorBound as ErrorBound,
)
from .errors import (
    DataError as DataError,
    LsqsimError as LsqsimError,
    SpecError as SpecError,
    WidthError as WidthError,
)
from .folding import (
    fold as fold,
    fold_error as fold_error,
)
from .formats import (
    Generator as Generator,
    IntFormat as IntFormat,
    Overflow as Overflow,
    Rounding as Rounding,
    StochasticRounding as StochasticRounding,
)
from .layer import (
    Layer as Layer,
)
from .layer_file import (
    load_layer as load_layer,
    save_layer as save_layer,
)
from .learn.checkpoint import (
    Checkpoint as Checkpoint,
    load_training as load_training,
)
from .learn.graph import (
    GraphSpec as GraphSpec,
)
from .learn.hooks import (
    Hooks as Hooks,
)
from .learn.model import (
    Mode as Mode,
    Model as Model,
)
from .learn.placement import (
    QuantizationPolicy as QuantizationPolicy,
    quantized as quantized,
)
from .learn.quantizer import (
    LearnedQuantizer as LearnedQuantizer,
)
from .learn.rule import (
    StepRule as StepRule,
)
from .learn.training import (
    Trainer as Trainer,
)
from .learn.training_spec import (
    TrainingSpec as TrainingSpec,
)
from .matmul_array import (
    MatmulArray as MatmulArray,
)
from .network.comparison import (
    compare_network as compare_network,
)
from .network.network import (
    Keep as Keep,
    Network as Network,
)
from .network.network_file import (
    load_network as load_network,
    save_network as save_network,
)
from .observed.layers import (
    observe_layer as observe_layer,
)
from .observed.networks import (
    observe_chain as observe_chain,
)
from .overflow import (
    OverflowKind as OverflowKind,
    OverflowReport as OverflowReport,
)
from .quantizer import (
    Quantizer as Quantizer,
)
from .reference import (
    reference_output as reference_output,
)
from .rescaler import (
    Rescaler as Rescaler,
)
from .specs import (
    AccumulatorSpec as AccumulatorSpec,
    Activation as Activation,
    BiasPlacement as BiasPlacement,
    ClampPoint as ClampPoint,
    Conv2dSpec as Conv2dSpec,
    DatapathSpec as DatapathSpec,
    FanIn as FanIn,
    FirstShift as FirstShift,
    FixedPoint as FixedPoint,
    FloatScale as FloatScale,
    FloatWidth as FloatWidth,
    Granularity as Granularity,
    KOrder as KOrder,
    Layout as Layout,
    LinearSpec as LinearSpec,
    PowerOfTwo as PowerOfTwo,
    ProductArithmetic as ProductArithmetic,
    QuantizerSpec as QuantizerSpec,
    RegisterSpec as RegisterSpec,
    RescalerSpec as RescalerSpec,
    StageSpec as StageSpec,
    StepArithmetic as StepArithmetic,
    Thresholds as Thresholds,
    ZeroPointHandling as ZeroPointHandling,
    simple_datapath as simple_datapath,
)
from .tensor import (
    QTensor as QTensor,
)
from .trace import (
    Difference as Difference,
    Trace as Trace,
    first_difference as first_difference,
)
