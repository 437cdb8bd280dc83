"""Conversion of fitted models to ONNX, for use without Python. skl2onnx is imported on use."""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike
from sklearn.base import BaseEstimator, is_classifier
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .outlier import LIMITS, SparseAutoencoderOutlierDetector
from .transformer import SparseAutoencoderTransformer

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["register", "to_onnx", "verify"]

# What a graph can give, and how many of these it gives if nothing is said.
OUTPUTS: dict[type, tuple[str, ...]] = {
    SparseAutoencoderTransformer: ("code", "reconstruction", "score_samples"),
    SparseAutoencoderOutlierDetector: ("label", "scores", "score_samples"),
}
DEFAULTS = {SparseAutoencoderTransformer: 1, SparseAutoencoderOutlierDetector: 2}

# The node of every activation.
NODES = {"identity": "Identity", "sigmoid": "Sigmoid", "relu": "Relu"}

# The first in which the axes of ReduceSum are an input.
OLDEST_OPSET = 13

# The entry of metadata_props with the digest, and what stands for the digest while it is computed. ENTRY is how a file
# has it up to the digest: field 14 of the model, 82 bytes; field 1 of these, the key; field 2, 64 bytes.
KEY = "skl_sae.sha256"
ZEROS = "0" * 64
ENTRY = b"\x72\x52\x0a\x0e" + KEY.encode() + b"\x12\x40"

# What makes a node. Nodes, scopes, operators and variables are of skl2onnx, which has no types.
Node: TypeAlias = Callable[..., Any]


def to_onnx(
    model: BaseEstimator,
    *,
    outputs: str | Sequence[str] | None = None,
    dtype: DTypeLike = np.float32,
    target_opset: int | dict[str, int] | None = None,
) -> "ModelProto":
    """Convert a fitted model to ONNX.

    The graph has one input "X" of shape (n_samples, n_features) and gives what the model gives for rows of this dtype.

    Parameters
    ----------
    model : SparseAutoencoderTransformer, SparseAutoencoderOutlierDetector, Pipeline or search
        Fitted. The steps of a Pipeline may be all that skl2onnx converts. Of a GridSearchCV or RandomizedSearchCV the
        best estimator is converted.
    outputs : str or sequence of str, default=None
        The wanted outputs, in this order, of a model that ends in an autoencoder:

        - of a transformer "code" (`transform`, the default), "reconstruction" (`inverse_transform` of the code) and
          "score_samples", in the dtype of X. Behind other steps they mean what they mean there: the reconstruction is
          that of scaled features, ``pipeline[-1].inverse_transform(pipeline.transform(X))``.
        - of a detector "label" (`predict`, int64) and "scores" (`decision_function`), the default, and "score_samples",
          both float64.

        Scores and labels of rows have shape (n_samples, 1), as skl2onnx gives them for scikit-learn's outlier
        detectors. A Pipeline that ends in something else needs None and has the outputs that skl2onnx gives it: for
        classifiers "label" of shape (n_samples,) and "probabilities" of shape (n_samples, n_classes), which are
        decision values where there is no `predict_proba`.
    dtype : {float32, float64}, default=float32
        Type of X. The weights are cast to it, whatever type they were trained in, as the Python model does.
    target_opset : int or dict, default=None
        Version of the ONNX operators, 13 at least; None takes the newest that skl2onnx supports.

    Returns
    -------
    onnx_model : onnx.ModelProto
        ``onnx_model.SerializeToString()`` is what belongs into a file. It has a digest of itself, for `verify`.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.
    TypeError
        If ``model`` is of another class, a class derived from ours included.
    ValueError
        For unknown outputs, another dtype, an opset that is too old.
    sklearn.exceptions.NotFittedError
        If ``model`` is not fitted.

    Notes
    -----
    On scikit-learn's digits and breast cancer sets onnxruntime agrees with Python to 1e-5 in float32, relative to the
    largest absolute value of an output. Both have rounding errors there; a detector's are smaller in the graph, which
    computes all but the scaling in float64. If features have a mean far larger than their standard deviation, take
    float64. The float32 sigmoid of onnxruntime may leave [0, 1] by the last digit.

    Other steps are as good as their converters in skl2onnx; compare the results. That of version 1.20 for
    CalibratedClassifierCV, for one, gives other probabilities if the classifier in it is a Pipeline.

    Rows with NaN or infinity, which the Python model refuses with an error, have NaN in all outputs of an autoencoder,
    and the label -1.

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
    >>> session = onnxruntime.InferenceSession(onnx_model.SerializeToString(), providers=["CPUExecutionProvider"])
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
            "model must be a SparseAutoencoderTransformer, a SparseAutoencoderOutlierDetector, a Pipeline or a search "
            f"of these, got {type(model).__name__}. For others call skl_sae.onnx.register() and skl2onnx.to_onnx."
        )
    check_is_fitted(model)
    last = _last_step(model)
    names = _check_outputs(last, outputs)
    if np.dtype(dtype) not in LIMITS:
        raise ValueError(f"dtype must be float32 or float64, got {np.dtype(dtype)}.")
    tensor_type = FloatTensorType if np.dtype(dtype) == np.float32 else DoubleTensorType
    onnx_model = convert_sklearn(
        model,
        name=type(model).__name__,
        initial_types=[("X", tensor_type([None, model.n_features_in_]))],
        final_types=None if names is None else [(name, None) for name in names],  # the names, not "code1"
        options={id(last): _options(last, names)},
        target_opset=target_opset,
    )
    entry = onnx_model.metadata_props.add(key=KEY, value=ZEROS)
    entry.value = hashlib.sha256(onnx_model.SerializeToString()).hexdigest()
    return onnx_model


def verify(model: bytes | str | os.PathLike[str]) -> bytes:
    """Check that a model is, byte by byte, as `to_onnx` made it, before it is loaded.

    ONNX has no checksum of its own: most changes of a file make another valid graph, which gives other numbers. Needs
    neither onnx nor skl2onnx.

    Parameters
    ----------
    model : bytes, str or path-like
        A serialised model, or the path of a file with one.

    Returns
    -------
    data : bytes
        The serialised model, for ``onnxruntime.InferenceSession(data)``.

    Raises
    ------
    TypeError
        If ``model`` is of another type.
    ValueError
        If the model has no digest, or one that does not fit: it was changed since, or `to_onnx` did not make it.
    OSError
        If the file cannot be read.

    Notes
    -----
    The digest is the entry "skl_sae.sha256" of the model's ``metadata_props``: SHA-256 of the serialised model, in
    hexadecimal digits, with 64 zeros in place of the digest itself.

    It shows damage and carelessness, not forgery: who changes a file on purpose can put a new digest into it. Against
    that, compare ``hashlib.sha256(data).hexdigest()`` with the value, or check a signature, that came another way than
    the file.

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
    ValueError: The model does not fit its digest: it is damaged, or was changed after skl_sae.onnx.to_onnx made it.
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
            "The model does not fit its digest: it is damaged, or was changed after skl_sae.onnx.to_onnx made it."
        )
    return data


def register() -> None:
    """Make the autoencoders known to skl2onnx, for ``skl2onnx.to_onnx`` and other functions of its own.

    `to_onnx` does it by itself. To do it again changes nothing. The outputs are those of `to_onnx`; others than the
    default ones are an option of skl2onnx: ``options={id(detector): {"outputs": ("label", "score_samples")}}``. What
    skl2onnx converts by itself has no digest for `verify`.

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


def _plain(model: BaseEstimator) -> BaseEstimator:
    """As skl2onnx takes it: a search as its best estimator, a Pipeline without steps that do nothing."""
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
    """The names of the outputs as a tuple, None for those of another estimator."""
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
        raise ValueError(f"target_opset must be {OLDEST_OPSET} at least, got {opset}.")

    def node(kind: str, *inputs: Any, **attributes: Any) -> Any:
        return getattr(onnx_ops, f"Onnx{kind}")(*inputs, op_version=opset, **attributes)

    model, inputs = operator.raw_operator, operator.inputs
    X = inputs[0] if len(inputs) == 1 else node("Concat", *inputs, axis=1)
    # Zero for rows that are finite, NaN for others: infinity would vanish in a sigmoid, and runtimes differ in NaN.
    invalid = _sum(node, node("Sub", X, X))
    graph = _transformer if isinstance(model, SparseAutoencoderTransformer) else _detector
    tensors = graph(node, model, X, invalid, guess_numpy_type(inputs[0].type))
    for output in operator.outputs:
        node("Identity", tensors[output.raw_name], output_names=[output.full_name]).add_to(scope, container)


# -- graphs ----------------------------------------------------------------------------------------


def _sum(node: Node, terms: Any) -> Any:
    return node("ReduceSum", terms, np.array([1]), keepdims=1)


def _network(node: Node, model: Any, X: Any, dtype: Any) -> tuple[Any, Any]:
    """Code and reconstruction."""
    W, b = model.encoder_coef_.astype(dtype), model.encoder_intercept_.astype(dtype)
    V, c = model.decoder_coef_.T.astype(dtype), model.decoder_intercept_.astype(dtype)
    encode, decode = (NODES[name] for name in model._functions)
    code = node(encode, node("Gemm", X, W, b, transB=1))
    return code, node(decode, node("Gemm", code, V, c))  # V is W where the weights are tied, and is kept once


def _transformer(node: Node, model: Any, X: Any, invalid: Any, dtype: Any) -> dict[str, Any]:
    code, reconstruction = _network(node, model, X, dtype)
    error = node("Sub", reconstruction, X)
    score = node("Neg", _sum(node, node("Mul", error, error)))
    values = {"code": code, "reconstruction": reconstruction, "score_samples": score}
    return {name: node("Add", value, invalid) for name, value in values.items()}


def _detector(node: Node, model: Any, X: Any, invalid: Any, dtype: Any) -> dict[str, Any]:
    from onnx import TensorProto

    def double(tensor: Any) -> Any:
        return node("Cast", tensor, to=TensorProto.DOUBLE)

    if model._scaler is not None:
        mean, scale = model._scaler.mean_.astype(dtype), model._scaler.scale_.astype(dtype)
        X = node("Div", node("Sub", X, mean), scale)
    low, high = (np.array(sign * LIMITS[np.dtype(dtype)], dtype) for sign in (-1, 1))
    X = double(node("Clip", X, low, high))
    code, reconstruction = _network(node, model, X, np.float64)
    residual = node("Sub", X, reconstruction)
    vectors = node("Concat", residual, code, axis=1) if model._scoring == "mahalanobis" else residual
    centred = node("Sub", vectors, model._scatter.location)
    precision = model._scatter.precision
    weighted = node("Mul" if precision.ndim == 1 else "MatMul", centred, precision)
    distance = node("Max", _sum(node, node("Mul", weighted, centred)), np.zeros(1))
    score = node("Sub", double(invalid), distance)
    decision = node("Sub", score, np.array([model.offset_]))
    inlier = node("GreaterOrEqual", decision, np.zeros(1))  # NaN is none
    label = node("Where", inlier, np.array([1]), np.array([-1]))
    return {"label": label, "scores": decision, "score_samples": score}
