"""TopKAutoencoderTransformer."""

import pickle
import warnings
from copy import deepcopy

import numpy as np
import pytest
import topk_reference as reference
from fits import assert_same_fit
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csc_array, csr_array, csr_matrix, issparse
from sklearn import config_context, get_config
from sklearn.base import clone
from sklearn.datasets import load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from skl_sae import DivergenceError, HiddenUnitWarning, TopKAutoencoderTransformer
from skl_sae._kernels.structs import AdamState
from skl_sae._model import unpack
from skl_sae._objectives import topk as objective
from skl_sae._rows import as_rows
from skl_sae._topk_model import Code, Frame, _directions, architecture, encode, initial_parameters

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::skl_sae.HiddenUnitWarning"),
]


@pytest.fixture(scope="module")
def digits(few):
    return few(load_digits().data)


def short(**parameters):
    settings = {"n_components": 20, "k": 4, "max_iter": 8, "batch_size": 200, "random_state": 0, "tol": 0}
    return TopKAutoencoderTransformer(**settings | parameters)


def fitted(sae):
    return {name: value for name, value in vars(sae).items() if name.endswith("_")}


CONFIGURATIONS = [
    {},
    {"sparse_output": False},
    {"selection": "batchtopk"},
    {"init": "random"},
    {"early_stopping": True},
    {"n_components": 3, "k": 1},
    {"warm_start": True, "learning_rate_init": 1e-12, "resample_dead": False},
]


@pytest.mark.slow
@parametrize_with_checks([TopKAutoencoderTransformer(max_iter=20, random_state=0, **extra) for extra in CONFIGURATIONS])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# -- what a fit gives ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_fit_is_the_model(digits, dtype):
    X = digits.astype(dtype)
    sae = short(max_iter=20).fit(X)
    model, H = reference.Model.of(sae), sae.transform(X)
    assert H.dtype == sae.encoder_coef_.dtype == sae.decoder_coef_.dtype == dtype
    assert H.has_canonical_format
    assert H.getnnz(axis=1).max() <= 4
    tolerance = dict(rtol=1e-3, atol=1e-3) if dtype == np.float32 else dict(rtol=1e-9, atol=1e-9)
    agree = (H.toarray() > 0) == (model.encode(X) > 0)
    assert agree.mean() > 0.999
    rows = agree.all(axis=1)
    assert_allclose(H.toarray()[rows], model.encode(X)[rows], **tolerance)
    assert_allclose(sae.inverse_transform(H), model.decode(H.toarray()), **tolerance)
    assert_allclose(sae.inverse_transform(H.toarray()), sae.inverse_transform(H), **tolerance)
    errors = (X - sae.inverse_transform(H)) ** 2
    assert_allclose(sae.reconstruction_error(X), errors.sum(axis=1), rtol=1e-3)
    assert_allclose(sae.reconstruction_error(X, per_feature=True), errors, **tolerance)
    assert_allclose(sae.score(X), -errors.sum(axis=1).mean(), rtol=1e-4)
    assert sae.loss_ == sae.history_["loss"][-1] == pytest.approx(-sae.score(X), rel=1e-4)
    assert sae.history_["fvu"][-1] == pytest.approx(sae.loss_ / X.var(axis=0).sum(), rel=1e-4)
    assert sae.history_["active_units"][-1] == pytest.approx(H.getnnz(axis=1).mean())
    assert_allclose(sae.activation_frequency_, (H > 0).sum(axis=0).A1 / len(X))
    assert sae.dead_fraction_ == sae.history_["dead_fraction"][-1] == np.mean(sae.activation_frequency_ == 0)
    assert_array_equal(sae.components_, sae.decoder_coef_.T)
    assert_allclose(np.linalg.norm(sae.components_, axis=1), 1, rtol=1e-5)
    assert sae.threshold_ is None


def test_training_reconstructs_better(digits):
    sae = short(max_iter=30).fit(digits)
    fvu = sae.history_["fvu"]
    assert fvu[-1] < 0.75 * fvu[0]
    assert fvu[-1] < 0.35
    assert list(sae.history_) == ["loss", "fvu", "active_units", "dead_fraction"]


@pytest.mark.parametrize("selection", ["topk", "batchtopk"])
@pytest.mark.parametrize("init", ["whitened", "random"])
def test_a_fit_does_not_depend_on_the_units(digits, init, selection):
    """Exactly for powers of two, which leave all digits as they are."""
    one = short(init=init, selection=selection).fit(digits)
    other = short(init=init, selection=selection).fit(1024 * digits)
    assert_array_equal(one.encoder_coef_, other.encoder_coef_)
    assert_array_equal(1024 * one.decoder_intercept_, other.decoder_intercept_)
    third = short(init=init, selection=selection).fit(1000 * digits)
    X, varies = digits[:100], digits.var(axis=0) > 0  # Adam turns the rounding errors of constants into small steps
    outputs = [sae.inverse_transform(sae.transform(unit * X)) for sae, unit in ((third, 1000), (one, 1))]
    assert_allclose(outputs[0][:, varies], 1000 * outputs[1][:, varies], rtol=1e-4, atol=1e-2)


def test_a_fit_does_not_depend_on_where_the_rows_lie(digits):
    X = digits[:, 10:40]
    one, other = short().fit(X), short().fit(X + 512)
    assert_allclose(one.loss_, other.loss_, rtol=1e-4)


def test_all_units_may_be_active(digits):
    sae = short(k=20, max_iter=2).fit(digits)
    Z = digits @ sae.encoder_coef_.T + sae.encoder_intercept_
    assert_allclose(sae.transform(digits).toarray(), np.maximum(Z, 0), atol=1e-9)


@pytest.mark.plain
@pytest.mark.parametrize(("n_components", "k"), [(20, 8), (3, 3)])
def test_k_by_default(digits, n_components, k):
    one, other = (short(n_components=n_components, k=k, max_iter=2).fit(digits) for k in (None, k))
    assert_same_fit(one, other)
    other.set_params(warm_start=True, k=None).fit(digits)


@pytest.mark.plain
def test_a_threshold_for_new_rows(digits):
    sae = short(selection="batchtopk", max_iter=20).fit(digits)
    counts = sae.transform(digits).getnnz(axis=1)
    assert counts.mean() == pytest.approx(4, rel=0.02)
    assert counts.min() < 4 < counts.max()
    Z = digits @ sae.encoder_coef_.T + sae.encoder_intercept_
    assert_allclose(sae.transform(digits).toarray(), np.where(sae.threshold_ <= Z, Z, 0), rtol=1e-9)
    assert sae.history_["active_units"][:-1] == pytest.approx(4)
    assert sae.history_["fvu"][-1] < short(max_iter=20).fit(digits).history_["fvu"][-1]


# -- output ----------------------------------------------------------------------------------------


@pytest.mark.plain
def test_kinds_of_output(digits):
    sae = short().fit(digits)
    H = sae.transform(digits)
    assert isinstance(H, csr_matrix)
    if "sparse_interface" in get_config():  # an option of newer versions
        with config_context(sparse_interface="sparray"):
            assert isinstance(sae.transform(digits), csr_array)
    dense = clone(sae).set_params(sparse_output=False).fit(digits)
    assert_array_equal(dense.transform(digits), H.toarray())
    pytest.importorskip("pandas")
    frame = dense.set_output(transform="pandas").transform(digits)
    assert list(frame.columns[:2]) == ["topkautoencodertransformer0", "topkautoencodertransformer1"]
    with pytest.raises(ValueError, match="sparse_output=False"):
        sae.set_output(transform="pandas").transform(digits)


def test_in_a_pipeline():
    X, y = load_digits(return_X_y=True)
    model = make_pipeline(short(n_components=100, k=10, max_iter=30), LogisticRegression(max_iter=500))
    assert model.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.85


@pytest.mark.plain
def test_sparse_rows(digits):
    dense = short().fit(digits)
    for kind in (csr_matrix, csc_array):
        sparse = short().fit(kind(digits))
        assert_same_fit(dense, sparse)
        assert_allclose(sparse.transform(kind(digits)).toarray(), dense.transform(digits).toarray(), atol=1e-9)
        assert_allclose(sparse.reconstruction_error(kind(digits)), dense.reconstruction_error(digits), rtol=1e-9)
        assert_allclose(sparse.reconstruction_error(kind(digits), True), dense.reconstruction_error(digits, True))
    H = csr_array(dense.transform(digits[:3]))
    assert not issparse(dense.inverse_transform(H))


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.plain
@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"k": 0}, "'k' parameter"), ({"n_components": 0}, "'n_components'"), ({"selection": "no"}, "'selection'"),
     ({"init": "no"}, "'init'"), ({"k": 2.5}, "'k' parameter"), ({"sparse_output": 3}, "'sparse_output'"),
     ({"k": 21}, "'k' parameter.*at most n_components=20.*Got 21")],
)  # fmt: skip
def test_bad_parameters(digits, parameters, message):
    for method in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match=message):
            getattr(short(**parameters), method)(digits)


@pytest.mark.plain
def test_not_fitted_and_bad_rows(digits):
    sae = short()
    for method in (sae.transform, sae.inverse_transform, sae.reconstruction_error, sae.score):
        with pytest.raises(NotFittedError):
            method(digits)
    with pytest.raises(NotFittedError):
        _ = sae.components_
    with pytest.raises(ValueError, match="NaN"):
        sae.fit(np.full((5, 3), np.nan))
    sae.fit(digits)
    with pytest.raises(ValueError, match="codes of 20 features"):
        sae.inverse_transform(np.ones((2, 3)))
    with pytest.raises(ValueError, match="NaN"):
        sae.inverse_transform(np.full((2, 20), np.nan))
    with pytest.raises(ValueError, match="X has 3 features"):
        sae.transform(np.ones((2, 3)))


@pytest.mark.parametrize("init", ["whitened", "random"])
@pytest.mark.parametrize("selection", ["topk", "batchtopk"])
@pytest.mark.parametrize(
    "X",
    [np.zeros((5, 3)), np.ones((6, 2)), np.full((4, 3), 1e5), np.tile([[1.0, 2, 3], [3, 1, 2]], (20, 1)),
     np.arange(12.0)[:, None], np.eye(3)[:2], np.vstack([np.zeros((3, 4)), np.ones((1, 4))]),
     np.array([[1e-30, 2e-30], [3e-30, -1e-30], [2e-30, 0]])],
    ids=["zeros", "ones", "constant", "two rows", "one feature", "few rows", "zero rows", "tiny"],
)  # fmt: skip
def test_rows_that_say_little(X, selection, init):
    sae = TopKAutoencoderTransformer(12, 3, init=init, selection=selection, max_iter=40, random_state=0).fit(X)
    assert all(np.isfinite(part).all() for part in (sae.encoder_coef_, sae.encoder_intercept_, sae.decoder_coef_))
    assert all(np.isfinite(values).all() for values in sae.history_.values())
    assert sae.history_["fvu"][-1] < 0.9
    assert sae.loss_ <= X.var(axis=0).sum() * (1 + 1e-9) + 1e-12 * np.square(X).sum()
    assert sae.transform(X).shape == (len(X), 12)


@pytest.mark.plain
def test_rows_that_overflow(digits):
    sae = short().fit(digits)
    row = np.where(sae.encoder_coef_[:1] > 0, 1e308, 0)
    for method in (sae.transform, sae.reconstruction_error, sae.score):
        with pytest.raises(ValueError, match="overflow"):
            method(row)


def test_a_fit_that_diverges_leaves_the_earlier_state(digits):
    sae = short().fit(digits)
    before = deepcopy(fitted(sae))
    for changed in ({"learning_rate_init": 1e200}, {"learning_rate_init": 1e200, "early_stopping": True}):
        with pytest.raises(DivergenceError, match="learning_rate_init"):
            sae.set_params(**changed).fit(digits)
        sae.set_params(learning_rate_init=1e-3, early_stopping=False)
        np.testing.assert_equal(fitted(sae), before)
    with pytest.raises((DivergenceError, ValueError)):
        short().fit(np.array([[1e300, -1e300], [1e308, 3], [2, -1e308]]))


# -- continuing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "parameters", [{}, {"selection": "batchtopk"}, {"init": "random", "n_components": 100}, {"shuffle": False}]
)
def test_two_fits_are_one_that_is_longer(digits, parameters, dtype):
    X = digits.astype(dtype)[:700]
    whole = short(max_iter=10, **parameters).fit(X)
    parts = short(max_iter=4, warm_start=True, **parameters).fit(X)
    parts = pickle.loads(pickle.dumps(parts)).set_params(max_iter=6).fit(X)
    for name in ("encoder_coef_", "encoder_intercept_", "decoder_coef_", "decoder_intercept_"):
        assert_array_equal(getattr(whole, name), getattr(parts, name))
    assert whole.loss_ == parts.loss_
    assert parts.n_iter_ == 10


@pytest.mark.plain
def test_chunks_are_epochs(digits):
    fit = short(max_iter=3, shuffle=False, warm_start=True).fit(digits)
    chunks = short(shuffle=False)
    for _ in range(3):
        chunks.partial_fit(digits)
    assert_array_equal(fit.encoder_coef_, chunks.encoder_coef_)
    assert len(chunks.history_["loss"]) == 3
    chunks.partial_fit(digits[:1])
    assert np.isfinite(chunks.encoder_coef_).all()


def test_a_fit_goes_on_from_weights_alone(digits):
    sae = short(max_iter=20).fit(digits)
    loss = sae.loss_
    sae.set_params(warm_start=True, max_iter=1).fit(digits)
    assert sae.loss_ < 1.1 * loss
    assert sae.n_iter_ == 21
    with pytest.raises(ValueError, match="k=4 with k=3"):
        sae.set_params(k=3).fit(digits)
    with pytest.raises(ValueError, match="20 fitted components"):
        sae.set_params(k=4, n_components=30).fit(digits)


def test_early_stopping_keeps_the_best_weights(digits):
    sae = short(max_iter=15, early_stopping=True, learning_rate_init=0.05).fit(digits)
    losses = sae.history_["validation_loss"]
    assert losses[-1] == losses.min()


@pytest.mark.parametrize("early_stopping", [False, True])
def test_weights_count_rows(digits, early_stopping, rng):
    weights = rng.integers(0, 4, 300)
    X, repeated = digits[:300], np.repeat(digits[:300], weights, axis=0)
    one = short(early_stopping=early_stopping).fit(X, sample_weight=weights)
    other = short(early_stopping=early_stopping).fit(rng.permutation(repeated))
    assert_allclose(one.encoder_coef_, other.encoder_coef_, rtol=1e-7, atol=1e-10)
    assert_allclose(one.activation_frequency_, other.activation_frequency_)


@pytest.mark.plain
def test_only_ratios_of_weights_matter(digits):
    one, other = (short(max_iter=2).fit(digits, sample_weight=np.full(len(digits), w)) for w in (1, 5e-324))
    assert_allclose(one.encoder_coef_, other.encoder_coef_, rtol=1e-9, atol=1e-12)


@pytest.mark.plain
@pytest.mark.parametrize("n", [40, 8])
def test_the_start_is_that_of_rows_that_count(n, rng):
    """Rows in two subspaces, with fewer and with more rows than features: units start from those that have a weight."""
    X = np.zeros((n, 20))
    X[::2, :10], X[1::2, 10:] = rng.normal(size=(n // 2, 10)), 100 * rng.normal(size=(n // 2, 10))
    atoms = _directions(X, np.where(np.arange(n) % 2, 1e-15, 1), n // 2, "whitened", np.random.RandomState(0))
    assert_allclose(np.linalg.norm(atoms[:, :10], axis=1), 1, rtol=1e-3)


@pytest.mark.plain
@pytest.mark.parametrize("selection", ["topk", "batchtopk"])
def test_an_interrupt(digits, selection, monkeypatch):
    sae = short(warm_start=True, selection=selection)
    epoch, calls = objective.TopKObjective.adam_epoch, []

    def interrupted(self, *arguments):
        result = epoch(self, *arguments)
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(objective.TopKObjective, "adam_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sae.fit(digits)
    assert sae.n_iter_ == 3
    assert not hasattr(sae, "dead_fraction_")
    sae = pickle.loads(pickle.dumps(sae))
    assert sae.transform(digits).getnnz() <= 4.1 * len(digits)
    sae.set_params(max_iter=5).fit(digits)
    whole = short(max_iter=8, selection=selection).fit(digits)
    assert_array_equal(whole.encoder_coef_, sae.encoder_coef_)
    assert whole.threshold_ == sae.threshold_


@pytest.mark.plain
def test_a_file_that_no_fit_left(digits):
    sae = short().fit(digits)
    for name, value in [("_code", (0, False)), ("_code", (21, False)), ("_code", (4, True)), ("threshold_", -1.0)]:
        broken = pickle.loads(pickle.dumps(sae))
        setattr(broken, name, value)
        with pytest.raises(ValueError, match="active units, and a positive threshold"):
            pickle.loads(pickle.dumps(broken))


def test_dask_rows(digits):
    array = pytest.importorskip("dask.array")
    sae, X = short(sparse_output=False).fit(digits), array.from_array(digits, chunks=(500, -1))
    for method in (sae.transform, sae.reconstruction_error, sae.score_samples):
        assert_allclose(method(X).compute(), method(digits))
    H = sae.transform(X)
    assert_allclose(sae.inverse_transform(H).compute(), sae.inverse_transform(sae.transform(digits)))
    assert sae.score(X) == pytest.approx(sae.score(digits))
    with pytest.raises(ValueError, match="sparse_output=False"):
        sae.set_params(sparse_output=True).transform(X)
    with pytest.raises(ValueError, match="Incremental"):
        sae.fit(X)


# -- dead units ------------------------------------------------------------------------------------


def test_dead_units_start_anew(digits):
    settings = {"n_components": 300, "k": 2, "init": "random", "max_iter": 30}
    without = short(resample_dead=False, **settings).fit(digits)
    with_ = short(**settings).fit(digits)
    assert with_.dead_fraction_ < 0.5 * without.dead_fraction_
    assert with_.loss_ < without.loss_


@pytest.mark.parametrize("k", [5, 8])
def test_starts_anew_end_before_the_fit_does(rng, k):
    """Rows of rank 4 have no use for more units: each one that starts anew raises the loss, and dies again."""
    X = rng.normal(size=(2000, 4)) @ rng.normal(size=(4, 20)) + 0.05 * rng.normal(size=(2000, 20))
    fits = [TopKAutoencoderTransformer(60, k, resample_dead=on, random_state=0).fit(X) for on in (True, False)]
    with_, without = (sae.history_["fvu"][-1] for sae in fits)
    assert with_ < 1.1 * without


def test_few_units_of_a_small_table_are_dead():
    X = load_wine().data
    sae = TopKAutoencoderTransformer(random_state=0).fit((X - X.mean(axis=0)) / X.std(axis=0))
    assert sae.dead_fraction_ < 0.02


def test_units_that_a_small_chunk_misses_are_kept(digits):
    sae = short(n_components=100, k=2, learning_rate_init=1e-12).fit(digits)
    atoms = sae.components_.copy()
    for _ in range(3):
        sae.partial_fit(digits[:20])
    assert_allclose(sae.components_, atoms, atol=1e-9)
    sae.set_params(warm_start=True, max_iter=4).fit(digits[:20])
    assert np.abs(sae.components_ - atoms).max() > 0.01


@pytest.mark.parametrize("k", [1, 4])
def test_a_unit_that_starts_anew_is_active(digits, k):
    """The atom of a new unit is what its row misses without the weaker half of its active units.

    With one active unit per row a new one ties with that of its row, and rounding decides.
    """
    X = digits - digits.mean(axis=0)
    X /= np.sqrt(np.square(X).sum(axis=1).mean())
    rows, arch, code, rng = as_rows(X), architecture(X.shape[1], 40), Code(k, False), np.random.RandomState(0)
    frame, weights = Frame.of(np.zeros(X.shape[1]), np.full(X.shape[1], 1 / X.shape[1])), np.ones(len(X))
    theta = initial_parameters(arch, rows, weights, frame, code, "whitened", rng)
    training = objective.TopKObjective(
        *(rows, weights, arch, code, frame, 1.0), batch_size=10**6, revives=True, rng=rng
    )
    _, W, V, b, _ = unpack(theta, arch)
    V[:3], W[:3], b[:3] = V[3], 0, -1  # these units are never active
    training.memory["silent"][:3] = objective.PATIENCE
    state = AdamState(np.ones_like(theta), np.ones_like(theta), 0, 1e-3, 0.9, 0.999, 1e-8)
    before = training.network(theta)
    codes = encode(before, rows).toarray()
    training._revive(theta, state)
    after = encode(training.network(theta), rows).toarray()
    active = (after[:, :3] > 0).any(axis=0)
    assert active.all() if k > 1 else active.any()
    codes[np.arange(len(X))[:, None], np.argsort(codes, axis=1)[:, : 40 - k // 2]] = 0
    missing = X - codes @ before.V
    missing /= np.linalg.norm(missing, axis=1, keepdims=True)
    assert_allclose((missing @ V[:3].T).max(axis=0), 1)
    assert_allclose(np.linalg.norm(V[:3], axis=1), 1)
    assert np.all(unpack(state.exp_avg, arch)[2][:3] == 0)
    assert np.all(unpack(state.exp_avg_sq, arch)[2][:3] == 1)


def test_dead_units_are_warned_of(digits):
    with warnings.catch_warnings():
        warnings.simplefilter("error", HiddenUnitWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        with pytest.raises(HiddenUnitWarning, match="are dead"):
            short(n_components=200, k=1, init="random", resample_dead=False).fit(digits)
