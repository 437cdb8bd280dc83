"""Conversion of fitted models to ONNX, for use without Python. skl2onnx is imported only when needed."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike
from sklearn.base import BaseEstimator, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils.validation import check_is_fitted

from ._kernels.activations import ACTIVATIONS
from ._support import LIMITS, SupportScorer
from ._views.graph import DOUBLE, quadratic, row_sum
from .outlier import SparseAutoencoderOutlierDetector
from .topk import TopKAutoencoderTransformer
from .transformer import SparseAutoencoderTransformer

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["register", "to_onnx", "verify"]

# Outputs that a graph can have, and how many of them, from the first, it has by default.
OUTPUTS: dict[type, tuple[str, ...]] = {
    SparseAutoencoderTransformer: ("code", "reconstruction", "score_samples"),
    TopKAutoencoderTransformer: ("code", "reconstruction", "score_samples"),
    SparseAutoencoderOutlierDetector: ("label", "scores", "score_samples"),
}
DEFAULTS = {SparseAutoencoderTransformer: 1, TopKAutoencoderTransformer: 1, SparseAutoencoderOutlierDetector: 2}

# The first opset in which the axes of ReduceSum are an input.
OLDEST_OPSET = 13

# The entry of metadata_props that holds the digest, and the placeholder while the digest is computed. ENTRY is the
# serialised entry up to the digest: field 14 of the model (82 bytes), with field 1 (the key) and field 2 (64 bytes).
KEY = "skl_sae.sha256"
ZEROS = "0" * 64
ENTRY = b"\x72\x52\x0a\x0e" + KEY.encode() + b"\x12\x40"

# Creates a node. Nodes, scopes, operators and variables come from skl2onnx, which has no type hints.
Node: TypeAlias = Callable[..., Any]


def to_onnx(
    model: BaseEstimator,
    *,
    outputs: str | Sequence[str] | None = None,
    dtype: DTypeLike = np.float32,
    target_opset: int | dict[str, int] | None = None,
) -> "ModelProto":
    """Convert a fitted model to ONNX.

    The graph has one input "X" of shape (n_samples, n_features) and gives the model's outputs for rows of ``dtype``.

    Parameters
    ----------
    model : estimator of this package, Pipeline or search
        A fitted model. A Pipeline may contain any steps that skl2onnx can convert. For a GridSearchCV or
        RandomizedSearchCV, the best estimator is converted. A ColumnTransformer may select columns by name: the graph
        takes them from X by position, so X needs the columns of `fit` in the same order.
    outputs : str or sequence of str, default=None
        Outputs to include, in this order, for a model that ends in an autoencoder:

        - for a transformer: "code" (`transform`, the default; always dense), "reconstruction" (`inverse_transform` of
          the code) and "score_samples", in the dtype of X. In a Pipeline, they refer to the autoencoder's own input:
          after a scaler, the reconstruction is that of the scaled features,
          ``pipeline[-1].inverse_transform(pipeline.transform(X))``.
        - for a detector: "label" (`predict`, int64) and "scores" (`decision_function`, float64), both by default, and
          "score_samples" (float64).

        Scores and labels have shape (n_samples, 1), as in skl2onnx for scikit-learn's outlier detectors. A Pipeline
        that ends in something else requires None and has the outputs that skl2onnx gives it: for classifiers, "label"
        of shape (n_samples,) and "probabilities" of shape (n_samples, n_classes), which are decision values if there is
        no `predict_proba`.
    dtype : {float32, float64}, default=float32
        Type of X. The weights are cast to it, whatever type they were trained in, as in the Python model.
    target_opset : int or dict, default=None
        Version of the ONNX operators, at least 13; None means the newest that skl2onnx supports.

    Returns
    -------
    onnx_model : onnx.ModelProto
        Save ``onnx_model.SerializeToString()`` to a file. The model contains a digest of itself, for `verify`.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.
    TypeError
        If ``model`` is of any other class, including a subclass of an autoencoder.
    ValueError
        If an output is unknown, the dtype is not supported, the opset is too old, or a ColumnTransformer selects
        columns by name inside an estimator other than a Pipeline, FeatureUnion or ColumnTransformer.
    sklearn.exceptions.NotFittedError
        If ``model`` is not fitted.

    Notes
    -----
    On scikit-learn's digits and breast cancer sets, onnxruntime agrees with Python to 1e-5 in float32, relative to the
    largest absolute value of an output. Both have rounding errors there; a detector's are smaller in the graph, which
    computes everything but the scaling in float64. If features have a mean far larger than their standard deviation,
    use float64. The float32 sigmoid of onnxruntime may fall outside [0, 1] in the last digit.

    Other steps are only as good as their converters in skl2onnx, so compare the results. For example, the converter for
    CalibratedClassifierCV in version 1.20 gives different probabilities if the classifier inside is a Pipeline.

    For rows with NaN or infinity, for which the Python model raises an error, all outputs of an autoencoder are NaN,
    and the label is -1.

    Examples
    --------
    >>> import numpy as np
    >>> import onnxruntime
    >>> from sklearn.datasets import load_digits
    >>> from skl_sae import SparseAutoencoderTransformer
    >>> from skl_sae.onnx import to_onnx
    >>> X = load_digits().data.astype(np.float32) / 16
    >>> sae = SparseAutoencoderTransformer(n_components=25, random_state=0).fit(X)
    >>> onnx_model = to_onnx(sae, outputs=["code", "reconstruction"])
    >>> session = onnxruntime.InferenceSession(onnx_model.SerializeToString())
    >>> code, reconstruction = session.run(None, {"X": X[:100]})
    >>> bool(np.allclose(code, sae.transform(X[:100]), atol=1e-5))
    True
    """
    register()
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    model = _plain(model)
    if not isinstance(model, Pipeline) and type(model) not in OUTPUTS:
        raise TypeError(
            f"model must be a {', a '.join(known.__name__ for known in OUTPUTS)}, a Pipeline or a search over these, "
            f"got {type(model).__name__}. For other models call skl_sae.onnx.register() and skl2onnx.to_onnx."
        )
    check_is_fitted(model)
    last = _last_step(model)
    names = _check_outputs(last, outputs)
    if np.dtype(dtype) not in LIMITS:
        raise ValueError(f"dtype must be float32 or float64, got {np.dtype(dtype)}.")
    tensor_type = FloatTensorType if np.dtype(dtype) == np.float32 else DoubleTensorType
    with _remedy_for_names():
        onnx_model = convert_sklearn(
            model,
            name=type(model).__name__,
            initial_types=[("X", tensor_type([None, model.n_features_in_]))],
            final_types=None if names is None else [(name, None) for name in names],  # the names, not "code1"
            options={id(last): _options(last, names)},
            target_opset=target_opset,
            custom_parsers={ColumnTransformer: _parse_columns},
        )
    entry = onnx_model.metadata_props.add(key=KEY, value=ZEROS)
    entry.value = hashlib.sha256(onnx_model.SerializeToString()).hexdigest()
    return onnx_model


def verify(model: bytes | str | os.PathLike[str]) -> bytes:
    """Check that a model is, byte for byte, as `to_onnx` made it, before it is loaded.

    ONNX has no checksum of its own: most changes to a file give another valid graph with different results. Needs
    neither onnx nor skl2onnx.

    Parameters
    ----------
    model : bytes, str or path-like
        A serialised model, or the path of a file that contains one.

    Returns
    -------
    data : bytes
        The serialised model, for ``onnxruntime.InferenceSession(data)``.

    Raises
    ------
    TypeError
        If ``model`` is of another type.
    ValueError
        If the model has no digest, or one that does not match: it was changed since, or `to_onnx` did not make it.
    OSError
        If the file cannot be read.

    Notes
    -----
    The digest is the entry "skl_sae.sha256" of the model's ``metadata_props``: the SHA-256 of the serialised model, in
    hexadecimal digits, with 64 zeros in place of the digest itself.

    It detects damage and accidental changes, not forgery: anyone who changes a file on purpose can also insert a new
    digest. To detect forgery, compare ``hashlib.sha256(data).hexdigest()`` with a value, or check a signature, that you
    received separately from the file.

    Examples
    --------
    >>> import numpy as np
    >>> import onnxruntime
    >>> from skl_sae import SparseAutoencoderTransformer
    >>> from skl_sae.onnx import to_onnx, verify
    >>> X = np.random.default_rng(0).random((100, 8), dtype=np.float32)
    >>> data = to_onnx(SparseAutoencoderTransformer(4, random_state=0).fit(X)).SerializeToString()
    >>> session = onnxruntime.InferenceSession(verify(data), providers=["CPUExecutionProvider"])
    >>> verify(data.replace(b"Gemm", b"Germ"))
    Traceback (most recent call last):
        ...
    ValueError: The model does not match its digest: it is damaged, or was changed ...
    """
    if isinstance(model, bytes):
        data = model
    elif isinstance(model, str | os.PathLike):
        data = Path(model).read_bytes()
    else:
        raise TypeError(f"model must be bytes or the path of a file, got {type(model).__name__}.")
    before, entry, rest = data.rpartition(ENTRY)
    if not entry:
        raise ValueError("The model has no digest: skl_sae.onnx.to_onnx did not make it, or it was changed since.")
    digest, after = rest[: len(ZEROS)], rest[len(ZEROS) :]
    if digest != hashlib.sha256(b"".join([before, entry, ZEROS.encode(), after])).hexdigest().encode():
        raise ValueError(
            "The model does not match its digest: it is damaged, or was changed after skl_sae.onnx.to_onnx made it."
        )
    return data


def register() -> None:
    """Register the autoencoders with skl2onnx, for ``skl2onnx.to_onnx`` and its other functions.

    `to_onnx` does this itself; repeating it has no effect. The outputs are those of `to_onnx`; to select others than
    the default ones, use an option of skl2onnx: ``options={id(detector): {"outputs": ("label", "score_samples")}}``.
    Models converted by skl2onnx directly have no digest for `verify`.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.
    """
    try:
        from skl2onnx import update_registered_converter
    except ImportError as error:
        raise ImportError('skl_sae.onnx needs skl2onnx: pip install "skl-sae[onnx]"') from error
    for estimator in OUTPUTS:
        update_registered_converter(
            estimator, f"SklSae{estimator.__name__}", _set_shapes, _convert, parser=_parse, options={"outputs": None}
        )
    update_registered_converter(Columns, "SklSaeColumns", _set_columns_shape, _convert_columns)


def _plain(model: BaseEstimator) -> BaseEstimator:
    """Simplify for skl2onnx: replace a search by its best estimator, drop Pipeline steps that do nothing."""
    if isinstance(model, GridSearchCV | RandomizedSearchCV):
        check_is_fitted(model, "best_estimator_")
        return _plain(model.best_estimator_)
    if isinstance(model, Pipeline):
        steps = [(name, step) for name, step in model.steps if step is not None and step != "passthrough"]
        return Pipeline([(name, _plain(step)) for name, step in steps])
    return model


def _last_step(model: BaseEstimator) -> BaseEstimator:
    return _last_step(model.steps[-1][1]) if isinstance(model, Pipeline) else model


def _check_outputs(estimator: BaseEstimator, outputs: str | Sequence[str] | None) -> Any:
    """Names of the outputs as a tuple, or None if the estimator is not an autoencoder."""
    known = OUTPUTS.get(type(estimator))
    if known is None:
        if outputs is not None:
            raise ValueError(f"outputs must be None for a model that ends in {type(estimator).__name__}.")
        return None
    names = known[: DEFAULTS[type(estimator)]] if outputs is None else outputs
    names = (names,) if isinstance(names, str) else tuple(names)
    if not names or len(set(names)) < len(names) or not set(names) <= set(known):
        raise ValueError(f"outputs of {type(estimator).__name__} are one or more of {known}, each once; got {names}.")
    return names


def _options(last: BaseEstimator, names: tuple[str, ...] | None) -> dict[str, Any]:
    if names is not None:
        return {"outputs": names}
    if not is_classifier(last):
        return {}
    from skl2onnx import get_model_alias
    from skl2onnx.common._registration import get_converter

    # Probabilities as an array, not as a list of dictionaries.
    allowed = get_converter(get_model_alias(type(last))).get_allowed_options() or ()
    return {"zipmap": False} if "zipmap" in allowed else {}


# -- the interface of skl2onnx: parser, shape calculator, converter --------------------------------


def _parse(scope: Any, model: BaseEstimator, inputs: Any, custom_parsers: Any = None) -> Any:
    """Declare the outputs."""
    from skl2onnx import get_model_alias
    from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType, guess_tensor_type

    check_is_fitted(model)
    operator = scope.declare_local_operator(get_model_alias(type(model)), model)
    operator.inputs = inputs
    for name in _check_outputs(model, scope.get_options(model, {"outputs": None})["outputs"]):
        if name == "label":
            kind = Int64TensorType()
        elif isinstance(model, SparseAutoencoderOutlierDetector):
            kind = DoubleTensorType()
        else:
            kind = guess_tensor_type(inputs[0].type)
        operator.outputs.append(scope.declare_local_variable(name, kind))
    return operator.outputs


def _set_shapes(operator: Any) -> None:
    """Check the inputs and set the shapes of the outputs."""
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    model, inputs = operator.raw_operator, operator.inputs
    kinds = {type(variable.type) for variable in inputs}
    if kinds not in ({FloatTensorType}, {DoubleTensorType}):
        raise TypeError(
            f"Inputs of {type(model).__name__} must all be FloatTensorType or all DoubleTensorType, got "
            f"{sorted(kind.__name__ for kind in kinds)}. For integers, which become float64 in Python, declare doubles."
        )
    columns = [variable.get_second_dimension() for variable in inputs]
    if all(isinstance(size, int) for size in columns) and sum(columns) != model.n_features_in_:
        raise ValueError(f"{type(model).__name__} expects {model.n_features_in_} features, got {sum(columns)}.")
    sizes = {"code": len(model.encoder_coef_), "reconstruction": model.n_features_in_}
    for output in operator.outputs:
        output.type.shape = [inputs[0].get_first_dimension(), sizes.get(output.raw_name, 1)]


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of one estimator to the graph."""
    from skl2onnx.algebra import onnx_ops
    from skl2onnx.common.data_types import guess_numpy_type

    opset = container.target_opset
    if opset < OLDEST_OPSET:
        raise ValueError(f"target_opset must be at least {OLDEST_OPSET}, got {opset}.")

    def node(kind: str, *inputs: Any, **attributes: Any) -> Any:
        return getattr(onnx_ops, f"Onnx{kind}")(*inputs, op_version=opset, **attributes)

    model, inputs = operator.raw_operator, operator.inputs
    X = inputs[0] if len(inputs) == 1 else node("Concat", *inputs, axis=1)
    # Zero for finite rows, NaN for others: infinity would vanish in a sigmoid, and runtimes treat NaN differently.
    invalid = row_sum(node, node("Sub", X, X))
    graph = _detector if isinstance(model, SparseAutoencoderOutlierDetector) else _transformer
    tensors = graph(node, model, X, invalid, guess_numpy_type(inputs[0].type))
    for output in operator.outputs:
        node("Identity", tensors[output.raw_name], output_names=[output.full_name]).add_to(scope, container)


# -- columns of a ColumnTransformer ----------------------------------------------------------------
# skl2onnx's own selection wants names, which the graph's one input does not have. It also takes masks for positions,
# knows neither negative positions nor open ranges, and ignores the order where all columns are selected.


class Columns(BaseEstimator):
    """Select columns by position: a step of a Pipeline that exists only to be converted."""

    def __init__(self, positions: Sequence[int]) -> None:
        self.positions = positions


def _by_position(model: ColumnTransformer) -> FeatureUnion:
    """Return the same steps, each after the selection of its columns."""
    steps = []
    for name, step, _ in model.transformers_:
        positions = model._transformer_to_input_indices[name]
        if len(positions) and not (isinstance(step, str) and step == "drop"):
            steps.append((name, _plain(Pipeline([("columns", Columns(positions)), ("step", step)]))))
    return FeatureUnion(steps, transformer_weights=model.transformer_weights)


def _parse_columns(scope: Any, model: ColumnTransformer, inputs: Any, custom_parsers: Any = None) -> Any:
    from skl2onnx._parse import _parse_sklearn

    return _parse_sklearn(scope, _by_position(model), inputs, custom_parsers)


@contextmanager
def _remedy_for_names() -> Iterator[None]:
    """Say what to do if another estimator holds a ColumnTransformer, whose steps skl2onnx then parses by itself."""
    try:
        yield
    except RuntimeError as error:
        if "Unable to find column name" not in str(error):
            raise
        raise ValueError(
            "A ColumnTransformer can select columns by name only in a Pipeline, FeatureUnion or ColumnTransformer, not "
            "inside another estimator. Make it a step of the Pipeline, in front of that estimator, and fit again."
        ) from error


def _set_columns_shape(operator: Any) -> None:
    variable = operator.inputs[0]
    shape = [variable.get_first_dimension(), len(operator.raw_operator.positions)]
    operator.outputs[0].type = type(variable.type)(shape)


def _convert_columns(scope: Any, operator: Any, container: Any) -> None:
    from skl2onnx.algebra.onnx_ops import OnnxGather

    positions, names = np.array(operator.raw_operator.positions, np.int64), [operator.outputs[0].full_name]
    node = OnnxGather(operator.inputs[0], positions, axis=1, op_version=container.target_opset, output_names=names)
    node.add_to(scope, container)


# -- graphs ----------------------------------------------------------------------------------------


def _network(node: Node, model: Any, X: Any, dtype: Any) -> tuple[Any, Any]:
    """Code and reconstruction."""
    W, b = model.encoder_coef_.astype(dtype), model.encoder_intercept_.astype(dtype)
    V, c = model.decoder_coef_.T.astype(dtype), model.decoder_intercept_.astype(dtype)
    Z = node("Gemm", X, W, b, transB=1)
    if isinstance(model, TopKAutoencoderTransformer):
        code = _largest(node, model, node("Relu", Z), dtype)
        return code, node("Gemm", code, V, c)
    encode, decode = (ACTIVATIONS[name].onnx for name in model._functions)
    code = encode(node, Z)
    return code, decode(node, node("Gemm", code, V, c))  # V is W where the weights are tied, and is stored once


def _largest(node: Node, model: TopKAutoencoderTransformer, H: Any, dtype: Any) -> Any:
    """Return activations H (n, m), none of them negative, with zeros for those that are not among the largest."""
    if model.threshold_ is not None:
        return node("Where", node("Less", H, np.array(model.threshold_, dtype)), np.zeros(1, dtype), H)
    found = node("TopK", H, np.array([model._code[0]], np.int64), axis=1)  # of equal ones the first, as in Python
    return node("ScatterElements", node("Sub", H, H), found[1], found[0], axis=1)


def _transformer(node: Node, model: Any, X: Any, invalid: Any, dtype: Any) -> dict[str, Any]:
    code, reconstruction = _network(node, model, X, dtype)
    error = node("Sub", reconstruction, X)
    score = node("Neg", row_sum(node, node("Mul", error, error)))
    values = {"code": code, "reconstruction": reconstruction, "score_samples": score}
    return {name: node("Add", value, invalid) for name, value in values.items()}


def _detector(node: Node, model: Any, X: Any, invalid: Any, dtype: Any) -> dict[str, Any]:
    scorer = model._scorer()
    graph = _by_support if isinstance(scorer, SupportScorer) else _by_views
    score = node("Sub", _double(node, invalid), graph(node, model, scorer, X, dtype))
    decision = node("Sub", score, np.array([model.offset_]))
    inlier = node("GreaterOrEqual", decision, np.zeros(1))  # False for NaN
    label = node("Where", inlier, np.array([1]), np.array([-1]))
    return {"label": label, "scores": decision, "score_samples": score}


def _double(node: Node, tensor: Any) -> Any:
    return node("Cast", tensor, to=DOUBLE)


def _by_support(node: Node, model: Any, scorer: Any, X: Any, dtype: Any) -> Any:
    """Return scores (n, 1) by one distance or error."""
    X = node("Div", node("Sub", X, scorer.mean.astype(dtype)), scorer.scale.astype(dtype))
    low, high = (np.array(sign * LIMITS[np.dtype(dtype)], dtype) for sign in (-1, 1))
    X = _double(node, node("Clip", X, low, high))
    code, reconstruction = _network(node, model, X, np.float64)
    residual = node("Sub", X, reconstruction)
    vectors = node("Concat", residual, code, axis=1) if scorer.scoring == "mahalanobis" else residual
    return node("Max", quadratic(node, vectors, *scorer.scatter), np.zeros(1))


def _by_views(node: Node, model: Any, scorer: Any, X: Any, dtype: Any) -> Any:
    """Return scores (n, 1) by several views."""
    return scorer.onnx(node, _double(node, X), lambda scaled: _network(node, model, scaled, np.float64))
