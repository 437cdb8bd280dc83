"""Graphs give in onnxruntime what the models give in Python, and a file that was changed is refused."""

import hashlib
import sys
from itertools import product

import numpy as np
import pandas as pd
import pytest
from models import every_other
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.impute import KNNImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from skl_sae import SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer, TopKAutoencoderTransformer
from skl_sae._kernels.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from skl_sae.onnx import ENTRY, KEY, OUTPUTS, ZEROS, register, to_onnx, verify

onnx = pytest.importorskip("onnx", reason='needs pip install "skl-sae[onnx]"')
skl2onnx = pytest.importorskip("skl2onnx", reason='needs pip install "skl-sae[onnx]"')
onnxruntime = pytest.importorskip("onnxruntime", reason='needs pip install "skl-sae[onnx]"')

pytestmark = [  # few iterations: how good a model is makes no difference here
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skl_sae.HiddenUnitWarning"),
]

DTYPES = [np.float32, np.float64]
# Relative to the largest absolute value of the output.
TOLERANCE = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}


def transformer(**parameters):
    return SparseAutoencoderTransformer(30, max_iter=30, random_state=0, **parameters)


def topk(**parameters):
    settings = {"n_components": 30, "k": 5, "max_iter": 10, "random_state": 0, "sparse_output": False}
    return TopKAutoencoderTransformer(**settings | parameters)


def detector(**parameters):
    return SparseAutoencoderOutlierDetector(max_iter=30, random_state=0, **parameters)


@pytest.fixture(scope="module")
def digits(few):
    return tuple(few(part[:1000]) for part in load_digits(return_X_y=True))


@pytest.fixture(scope="module")
def cancer(few):
    return tuple(few(part) for part in load_breast_cancer(return_X_y=True))


def run(onnx_model, **inputs):
    session = onnxruntime.InferenceSession(onnx_model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, inputs), strict=True))


def assert_agree(actual, expected, tolerance, dtype=None):
    assert actual.dtype == (dtype or expected.dtype)
    if expected.ndim == 1 and actual.ndim == 2:
        assert actual.shape[1] == 1
        actual = actual[:, 0]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def assert_transformer_agrees(model, X, last=None):
    """``last``: the transformer at the end of a pipeline."""
    results = run(to_onnx(model, outputs=OUTPUTS[SparseAutoencoderTransformer], dtype=X.dtype), X=X)
    tolerance, H = TOLERANCE[X.dtype], model.transform(X)
    assert_agree(results["code"], H, tolerance)
    assert_agree(results["reconstruction"], (model if last is None else last).inverse_transform(H), tolerance)
    assert_agree(results["score_samples"], model.score_samples(X), tolerance)


def assert_detector_agrees(model, X, rows=2, ranks=0.0):
    """``rows``: how many tolerances the score of a row may be off, by the rounding errors of Python's float32.

    ``ranks``: how much it may be off because rounding changes its rank among the scores of the training rows.
    """
    results = run(to_onnx(model, outputs=OUTPUTS[SparseAutoencoderOutlierDetector], dtype=X.dtype), X=X)
    scores, decision = model.score_samples(X), model.decision_function(X)
    tolerance = max(TOLERANCE[X.dtype], 2e-7)  # Python rounds the scores
    assert_agree(results["score_samples"], scores, tolerance + ranks / np.abs(scores).max())
    assert_agree(results["scores"], decision, tolerance + ranks / np.abs(decision).max())
    np.testing.assert_allclose(results["score_samples"][:, 0], scores, rtol=rows * tolerance, atol=ranks)
    clear = np.abs(decision) > rows * tolerance * np.abs(scores) + ranks
    assert results["label"].dtype == np.int64
    assert clear.mean() > (0.9 if ranks else 0.99)
    np.testing.assert_array_equal(results["label"][clear, 0], model.predict(X)[clear])


@pytest.mark.parametrize(
    ("activation", "output", "tied_weights", "dtype"),
    every_other(HIDDEN_ACTIVATIONS, ACTIVATIONS, [False, True], DTYPES),
)
def test_transformer(digits, activation, output, tied_weights, dtype):
    X = digits[0] / 16
    model = transformer(activation=activation, output_activation=output, tied_weights=tied_weights).fit(X.astype(dtype))
    for other in DTYPES:
        assert_transformer_agrees(model, X.astype(other))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("parameters", [{}, {"selection": "batchtopk"}, {"k": 1}, {"k": 30}], ids=str)
def test_largest_activations(digits, parameters, dtype):
    """Rows where rounding decides which units are active are left out."""
    model = topk(**parameters).fit(digits[0].astype(dtype))
    for X in map(digits[0].astype, DTYPES):
        found = run(to_onnx(model, outputs=OUTPUTS[type(model)], dtype=X.dtype), X=X)
        tolerance, H = TOLERANCE[X.dtype], model.transform(X)
        alike = ((found["code"] > 0) == (H > 0)).all(axis=1)
        assert alike.mean() > 0.99
        assert_agree(found["code"][alike], H[alike], tolerance)
        assert_agree(found["reconstruction"][alike], model.inverse_transform(H)[alike], tolerance)
        assert_agree(found["score_samples"][alike], model.score_samples(X)[alike], 10 * tolerance)


@pytest.mark.plain
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_first_of_equal_activations(dtype):
    X = np.random.default_rng(0).integers(-3, 4, size=(50, 6)).astype(dtype)
    model = topk(n_components=12, k=3).fit(X)
    model.encoder_coef_ = np.tile(np.eye(6, dtype=dtype), (2, 1))
    model.encoder_intercept_ = np.zeros(12, dtype)
    (code,) = run(to_onnx(model, dtype=dtype), X=X).values()
    np.testing.assert_array_equal(code, model.transform(X))


LAYERS = [*((name, False) for name in HIDDEN_ACTIVATIONS), ("relu", True)]
SCORINGS = ["auto", "mahalanobis", "standardized_error", "squared_error"]


@pytest.mark.parametrize(("layers", "scoring", "scaling"), every_other(LAYERS, SCORINGS, ["standard", None]))
def test_detector(digits, cancer, layers, scoring, scaling):
    activation, tied_weights = layers
    for dtype, X in zip(DTYPES, (digits[0], cancer[0]), strict=True):
        X = X if scaling else MinMaxScaler().fit_transform(X)
        model = detector(activation=activation, tied_weights=tied_weights, scoring=scoring, scaling=scaling)
        model.fit(X.astype(dtype))
        for other in DTYPES:
            assert_detector_agrees(model, X.astype(other))


@pytest.mark.plain
@pytest.mark.parametrize("output", [name for name in ACTIVATIONS if name != "identity"])
def test_detector_with_bounded_output(cancer, output):
    X = MinMaxScaler().fit_transform(cancer[0])
    model = detector(output_activation=output, scaling=None).fit(X)
    for dtype in DTYPES:
        assert_detector_agrees(model, X.astype(dtype))


def test_detector_cuts_off_wild_values(cancer):
    X = cancer[0]
    model = detector().fit(X)
    for dtype in DTYPES:
        wild = X[:4].astype(dtype)
        wild[0, 3], wild[1], wild[2, 0] = np.finfo(dtype).max, -np.finfo(dtype).max, 1e28
        results = run(to_onnx(model, outputs=["score_samples", "label"], dtype=dtype), X=wild)
        assert np.isfinite(results["score_samples"]).all()
        np.testing.assert_allclose(results["score_samples"][:, 0], model.score_samples(wild), rtol=1e-5)
        np.testing.assert_array_equal(results["label"][:, 0], model.predict(wild))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["digits", "cancer"])
def test_pipelines_with_classifier(request, name, dtype):
    X, y = request.getfixturevalue(name)
    X = X.astype(dtype)
    models = [
        make_pipeline(StandardScaler(), transformer(), StandardScaler(), LogisticRegression(max_iter=1000)),
        make_pipeline(make_pipeline(MinMaxScaler(), "passthrough", transformer()), RandomForestClassifier(10)),
        make_pipeline(StandardScaler(), make_union(transformer(), StandardScaler()), LogisticRegression(max_iter=1000)),
        make_pipeline(MinMaxScaler(), topk(k=30, sparse_output=True), LogisticRegression(max_iter=1000)),
    ]
    for model in models:
        model.fit(X, y)
        results = run(to_onnx(model, dtype=dtype), X=X)
        assert list(results) == ["label", "probabilities"]
        expected = model.predict_proba(X)
        np.testing.assert_allclose(results["probabilities"], expected, rtol=0, atol=1e-5)
        highest = np.sort(expected, axis=1)
        clear = highest[:, -1] - highest[:, -2] > 2e-5
        assert clear.mean() > 0.9  # the votes of few trees can be equal
        np.testing.assert_array_equal(results["label"][clear], model.predict(X)[clear])


@pytest.mark.plain
def test_pipelines_with_other_ends(cancer):
    X, y = cancer
    X = X.astype(np.float32)
    classifier = make_pipeline(StandardScaler(), transformer(), LinearSVC()).fit(X, y)  # without probabilities
    np.testing.assert_array_equal(run(to_onnx(classifier), X=X)["label"], classifier.predict(X))
    regressor = make_pipeline(StandardScaler(), transformer(), Ridge()).fit(X, y)
    (prediction,) = run(to_onnx(regressor), X=X).values()
    np.testing.assert_allclose(prediction[:, 0], regressor.predict(X), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_pipelines_with_autoencoder_at_the_end(digits, cancer, dtype):
    for X in digits[0].astype(dtype), cancer[0].astype(dtype):
        model = make_pipeline(StandardScaler(), transformer()).fit(X)
        assert_transformer_agrees(model, X, last=model[-1])
        model = make_pipeline(StandardScaler(), make_pipeline(transformer(), transformer())).fit(X)
        assert_transformer_agrees(model, X, last=model[-1][-1])
        ranks = 0.2 if dtype == np.float32 else 0.0
        assert_detector_agrees(make_pipeline(StandardScaler(), detector()).fit(X), X, ranks=ranks)
        codes = make_pipeline(StandardScaler(), transformer())
        some = ColumnTransformer([("codes", codes, [4, 9, 5]), ("scaled", MinMaxScaler(), [20, 21])])
        assert_detector_agrees(make_pipeline(some, detector(scaling=None)).fit(X), X, rows=10, ranks=ranks)


SOME = ["area", "radius", "texture"]  # in another order than in the frame
INNER = ColumnTransformer([("scaled", StandardScaler(), ["texture"])], remainder=MinMaxScaler())
RANGED = make_pipeline(MinMaxScaler().set_output(transform="pandas"), INNER)
SELECTIONS = {
    "names": [("scaled", StandardScaler(), SOME), ("kept", "passthrough", ["kind"])],
    "one name": [("scaled", StandardScaler(), ["area"]), ("left out", "drop", ["kind"])],
    "all, in another order": [("scaled", StandardScaler(), ["kind", *SOME, "perimeter"])],
    "range of names": [("scaled", StandardScaler(), slice("texture", "area"))],
    "callable": [("scaled", StandardScaler(), make_column_selector(pattern="r$|e$"))],
    "categories": [("category", OneHotEncoder(), ["kind"]), ("two steps", RANGED, ["texture", "radius"])],
    "nested": [("inner", INNER, SOME), ("codes", make_pipeline("passthrough", transformer()), ["perimeter"])],
    "none": [("scaled", StandardScaler(), SOME), ("nothing", MinMaxScaler(), [])],
    "mask": [("scaled", StandardScaler(), [True, False, False, True, True])],
    "negative": [("scaled", StandardScaler(), [-1, -4])],
    "open range": [("scaled", StandardScaler(), slice(2, None))],
    "all positions, in another order": [("scaled", StandardScaler(), [4, 2, 0, 1, 3])],
}


@pytest.fixture(scope="module")
def table(cancer):
    """Four measurements and a category."""
    frame = pd.DataFrame(cancer[0][:, :4] / [10, 10, 100, 500], columns=["radius", "texture", "perimeter", "area"])
    return frame.assign(kind=np.arange(len(frame)) % 3.0)


def assert_codes_agree(model, frame):
    for dtype in DTYPES:
        rows = frame.astype(dtype)
        code = run(to_onnx(model, dtype=dtype), X=rows.to_numpy())["code"]
        assert_agree(code, model.transform(rows), TOLERANCE[np.dtype(dtype)], dtype)


@pytest.mark.parametrize("remainder", ["drop", "passthrough", MinMaxScaler()])
@pytest.mark.parametrize("selection", SELECTIONS)
def test_columns(table, selection, remainder):
    columns = clone(ColumnTransformer(SELECTIONS[selection], remainder=remainder))
    assert_codes_agree(make_pipeline(columns, transformer()).fit(table), table)


@pytest.mark.plain
def test_columns_elsewhere_in_a_model(table):
    columns = ColumnTransformer([("scaled", StandardScaler(), SOME)], remainder="passthrough")
    weighted = clone(columns).set_params(transformer_weights={"scaled": 2.0})
    frames = MinMaxScaler().set_output(transform="pandas")
    for first in weighted, make_pipeline(frames, columns), make_union(columns, MinMaxScaler()):
        assert_codes_agree(make_pipeline(first, transformer()).fit(table), table)
    found = make_pipeline(columns, detector(scoring="mahalanobis")).fit(table)
    scores = run(to_onnx(found, dtype=np.float64), X=table.to_numpy())["scores"]
    assert_agree(scores, found.decision_function(table), 1e-9)


@pytest.mark.plain
def test_columns_in_a_search(table):
    columns = ColumnTransformer([("scaled", StandardScaler(), SOME)], remainder="passthrough")
    search = GridSearchCV(make_pipeline(columns, transformer()), {"sparseautoencodertransformer__rho": [0.1]}, cv=2)
    assert_codes_agree(search.fit(table), table)


@pytest.mark.plain
def test_names_inside_another_estimator(table, cancer):
    y, last = cancer[1], LogisticRegression(max_iter=1000)
    columns = ColumnTransformer([("codes", transformer(), SOME)], remainder=StandardScaler())
    inside = make_pipeline(StackingClassifier([("inner", make_pipeline(columns, last))], cv=2)).fit(table, y)
    with pytest.raises(ValueError, match=r"by name only in a Pipeline.*in front of that estimator"):
        to_onnx(inside)
    in_front = make_pipeline(columns, StackingClassifier([("inner", last)], cv=2)).fit(table, y)
    found = run(to_onnx(in_front), X=table.to_numpy(np.float32))["probabilities"]
    np.testing.assert_allclose(found, in_front.predict_proba(table), rtol=0, atol=1e-5)


@pytest.mark.plain
@pytest.mark.filterwarnings("ignore::FutureWarning")  # of an old scikit-learn, about the remainder
def test_columns_of_strings(table):
    """As the guide says: one input per column, by skl2onnx itself."""
    frame = table.assign(kind=np.array(["a", "b", "c"])[table["kind"].astype(int)])
    columns = ColumnTransformer([("kind", OneHotEncoder(), ["kind"])], remainder=StandardScaler())
    model = make_pipeline(columns, transformer()).fit(frame)
    register()
    types = skl2onnx.common.data_types
    kinds = dict.fromkeys(frame.columns, types.FloatTensorType) | {"kind": types.StringTensorType}
    onnx_model = skl2onnx.to_onnx(model, initial_types=[(name, kind([None, 1])) for name, kind in kinds.items()])
    inputs = {name: table[[name]].to_numpy(np.float32) for name in table} | {"kind": frame[["kind"]].to_numpy(object)}
    np.testing.assert_allclose(run(onnx_model, **inputs)["code"], model.transform(frame), rtol=0, atol=1e-5)


@pytest.mark.plain
def test_searches(cancer):
    X, y = cancer
    X = X.astype(np.float32)
    search = GridSearchCV(transformer(), {"alpha": [0.01, 0.1]}, cv=2).fit(X / X.max(axis=0))
    assert to_onnx(search) == to_onnx(search.best_estimator_)
    inner = GridSearchCV(LogisticRegression(max_iter=1000), {"C": [0.1, 1]}, cv=2)
    model = make_pipeline(StandardScaler(), transformer(), inner).fit(X, y)
    np.testing.assert_allclose(run(to_onnx(model), X=X)["probabilities"], model.predict_proba(X), rtol=0, atol=1e-5)


def test_outputs(cancer):
    X = cancer[0].astype(np.float32)
    assert list(run(to_onnx(transformer().fit(X)), X=X)) == ["code"]
    assert list(run(to_onnx(topk().fit(X)), X=X)) == ["code"]
    assert list(run(to_onnx(detector().fit(X)), X=X)) == ["label", "scores"]
    assert list(run(to_onnx(detector().fit(X), outputs="score_samples"), X=X)) == ["score_samples"]
    outputs = ["score_samples", "code"]
    onnx_model = to_onnx(make_pipeline(transformer(), transformer()).fit(X), outputs=outputs)
    assert list(run(onnx_model, X=X)) == outputs
    shapes = [[size.dim_value for size in output.type.tensor_type.shape.dim] for output in onnx_model.graph.output]
    assert shapes == [[0, 1], [0, 30]]  # 0: as many as there are rows


def test_graph_is_of_the_fit_not_of_later_parameters(cancer):
    X = cancer[0]
    model = detector().fit(X)
    before = to_onnx(model, outputs="score_samples")
    assert before == to_onnx(model.set_params(activation="relu", scoring="squared_error"), outputs="score_samples")


@pytest.mark.parametrize("target_opset", [13, 18, None, {"": 17, "ai.onnx.ml": 3}])
def test_opsets(cancer, target_opset):
    X = StandardScaler().fit_transform(cancer[0]).astype(np.float32)
    for model in transformer().fit(X), topk().fit(X), topk(selection="batchtopk").fit(X), detector().fit(X):
        onnx_model = to_onnx(model, outputs="score_samples", target_opset=target_opset)
        np.testing.assert_allclose(run(onnx_model, X=X)["score_samples"][:, 0], model.score_samples(X), rtol=2e-5)


@pytest.mark.plain
def test_tied_weights_are_kept_once(cancer):
    X = cancer[0]
    tied, untied = (
        len(to_onnx(transformer(tied_weights=tied).fit(X), outputs="reconstruction").SerializeToString())
        for tied in (True, False)
    )
    assert untied - tied > 4 * 0.9 * 30 * X.shape[1]


def test_rows_that_are_not_finite(cancer):
    good = cancer[0].astype(np.float32)
    bad = good[:4].copy()
    bad[0, 3], bad[1, 0], bad[2, 29] = np.nan, np.inf, -np.inf
    models = [make(activation=name) for name, make in product(HIDDEN_ACTIVATIONS, (transformer, detector))]
    for model in [*models, topk(), topk(selection="batchtopk")]:
        model.fit(good)
        results = run(to_onnx(model, outputs=OUTPUTS[type(model)]), X=bad)
        expected = run(to_onnx(model, outputs=OUTPUTS[type(model)]), X=good[:4])
        for name in results.keys() - {"label"}:
            assert np.isnan(results[name][:3]).all()
            np.testing.assert_allclose(results[name][3], expected[name][3], rtol=1e-6)
        if "label" in results:
            np.testing.assert_array_equal(results["label"][:3], -1)


@pytest.mark.plain
def test_registered_models_are_converted_by_skl2onnx(cancer):
    X = cancer[0].astype(np.float32)
    register()
    register()
    model = make_pipeline(StandardScaler(), detector()).fit(X)
    assert run(skl2onnx.to_onnx(model, X[:1]), X=X).keys() == {"label", "scores"}
    options = {id(model[-1]): {"outputs": ("score_samples",)}}
    (scores,) = run(skl2onnx.to_onnx(model, X[:1], options=options), X=X).values()
    np.testing.assert_allclose(scores[:, 0], model.score_samples(X), rtol=2e-5)
    with pytest.raises(ValueError, match="one or more of"):
        skl2onnx.to_onnx(model, X[:1], options={id(model[-1]): {"outputs": ("code",)}})


@pytest.mark.plain
def test_inputs_of_skl2onnx(cancer):
    X = StandardScaler().fit_transform(cancer[0]).astype(np.float32)
    model = transformer().fit(X)
    register()
    types = skl2onnx.common.data_types
    columns = [(f"x{k}", types.FloatTensorType([None, 1])) for k in range(X.shape[1])]
    onnx_model = skl2onnx.to_onnx(model, initial_types=columns)
    code = run(onnx_model, **{name: X[:, [k]] for k, (name, _) in enumerate(columns)})["code"]
    np.testing.assert_allclose(code, model.transform(X), rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="expects 30 features, got 29"):
        skl2onnx.to_onnx(model, initial_types=columns[1:])
    with pytest.raises(TypeError, match=r"Int64TensorType.*declare doubles"):
        skl2onnx.to_onnx(model, initial_types=[("X", types.Int64TensorType([None, 30]))])
    with pytest.raises(TypeError, match="'DoubleTensorType', 'FloatTensorType'"):
        skl2onnx.to_onnx(model, initial_types=[*columns[1:], ("x", types.DoubleTensorType([None, 1]))])


@pytest.mark.plain
def test_errors(cancer):
    X, y = cancer
    model = transformer().fit(X)
    pipeline = make_pipeline(transformer(), LogisticRegression(max_iter=10000)).fit(X, y)
    search = GridSearchCV(transformer(), {})
    for unfitted in clone(model), clone(pipeline), detector(), make_pipeline(transformer(), detector()), search:
        with pytest.raises(NotFittedError):
            to_onnx(unfitted)
    for other in LogisticRegression(), type("Subclass", (SparseAutoencoderTransformer,), {})(), "model":
        with pytest.raises(TypeError, match="model must be a SparseAutoencoderTransformer"):
            to_onnx(other)
    for outputs in "label", [], ["code", "code"], ["code", "Code"]:
        with pytest.raises(ValueError, match=r"one or more of .*'score_samples'"):
            to_onnx(model, outputs=outputs)
    with pytest.raises(ValueError, match="outputs must be None for a model that ends in LogisticRegression"):
        to_onnx(pipeline, outputs="label")
    with pytest.raises(ValueError, match="dtype must be float32 or float64, got int64"):
        to_onnx(model, dtype=np.int64)
    with pytest.raises(ValueError, match="at least 13, got 12"):
        to_onnx(model, target_opset=12)


@pytest.mark.plain
def test_without_skl2onnx(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    for call in register, lambda: to_onnx(transformer()):
        with pytest.raises(ImportError, match=r"pip install \"skl-sae\[onnx\]\""):
            call()


@pytest.fixture(scope="module")
def converted(cancer):
    """One graph of each kind. That of KNNImputer has functions, which follow the digest; others end with the digest."""
    X, y = cancer[0].astype(np.float32), cancer[1]
    sae = SparseAutoencoderTransformer(5, max_iter=3, random_state=0)
    models = [
        clone(sae).fit(X),
        topk().fit(X),
        SparseAutoencoderOutlierDetector(5, max_iter=3, random_state=0).fit(X),
        make_pipeline(StandardScaler(), sae, LogisticRegression(max_iter=10000)).fit(X, y),
        make_pipeline(KNNImputer(), sae).fit(X[:50]),
        GridSearchCV(sae, {"alpha": [0.01]}, cv=2).fit(X),
    ]
    return [to_onnx(model) for model in models]


@pytest.mark.plain
def test_verify(converted, cancer, tmp_path):
    X, path = cancer[0][:20].astype(np.float32), tmp_path / "model.onnx"
    for onnx_model in converted:
        onnx.checker.check_model(onnx_model, full_check=True)
        data = onnx_model.SerializeToString()
        assert verify(data) is data
        onnx.save(onnx_model, path)
        onnx.save(onnx.load(path), path)
        assert verify(path) == verify(str(path)) == data
        without = onnx.load(path)
        del without.metadata_props[:]
        session = onnxruntime.InferenceSession(verify(path), providers=["CPUExecutionProvider"])
        for actual, expected in zip(session.run(None, {"X": X}), run(without, X=X).values(), strict=True):
            np.testing.assert_array_equal(actual, expected)


@pytest.mark.plain
def test_digest_is_what_is_said_of_it(converted):
    assert sorted({len(onnx_model.functions) > 0 for onnx_model in converted}) == [False, True]
    for data in [onnx_model.SerializeToString() for onnx_model in converted]:
        onnx_model = onnx.load_model_from_string(data)
        (entry,) = onnx_model.metadata_props
        digest = entry.value
        assert entry.key == KEY
        entry.value = ZEROS
        assert hashlib.sha256(onnx_model.SerializeToString()).hexdigest() == digest
        assert onnx.ModelProto(metadata_props=[entry]).SerializeToString() == ENTRY + ZEROS.encode()
        assert data.endswith(ENTRY + digest.encode()) == (len(onnx_model.functions) == 0)


@pytest.mark.plain
def test_verify_refuses_what_was_changed(converted):
    for data in [onnx_model.SerializeToString() for onnx_model in converted]:
        start = data.index(ENTRY)
        entry = range(start, start + len(ENTRY) + len(ZEROS))
        changed = [data[:i] + bytes([data[i] ^ 1 << bit]) + data[i + 1 :] for i in entry for bit in range(8)]
        for i in np.linspace(0, len(data) - 1, 200).astype(int):
            changed += [data[:i] + bytes([data[i] ^ 1 << i % 8]) + data[i + 1 :], data[:i], data[i + 1 :]]
        changed += [b"", data[1:], data + b"\0", b"\0" + data, data + data, data + data[start:], data.upper()]
        changed += [data[: entry.stop] + b"0" + data[entry.stop :], data[entry.start : entry.stop]]
        moved = data[: entry.start] + data[entry.stop :]
        changed += [moved, data[entry.start : entry.stop] + moved]
        for other in changed:
            assert other != data
            with pytest.raises(ValueError, match=r"has no digest|does not match its digest"):
                verify(other)


@pytest.mark.plain
def test_verify_says_why(converted, cancer, tmp_path):
    X = cancer[0].astype(np.float32)
    register()
    for unknown in b"", skl2onnx.to_onnx(transformer().fit(X), X[:1]).SerializeToString():
        with pytest.raises(ValueError, match=r"no digest: skl_sae\.onnx\.to_onnx did not make it, or it was changed"):
            verify(unknown)
    onnx_model = converted[0]
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx_model.SerializeToString()[:-1])
    with pytest.raises(ValueError, match="does not match its digest: it is damaged, or was changed"):
        verify(path)
    with pytest.raises(FileNotFoundError):
        verify(tmp_path / "another.onnx")
    for other in onnx_model, bytearray(onnx_model.SerializeToString()), None, 3:
        with pytest.raises(TypeError, match=f"bytes or the path of a file, got {type(other).__name__}"):
            verify(other)


@pytest.mark.plain
def test_verify_needs_no_other_package(converted, monkeypatch):
    data = converted[0].SerializeToString()
    for name in "onnx", "skl2onnx", "google.protobuf":
        monkeypatch.setitem(sys.modules, name, None)
    assert verify(data) == data
