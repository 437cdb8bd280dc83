"""Cases for faults.py: saved models (pickle, skops, ONNX) that were damaged or tampered with."""

import copy
import functools
import io
import itertools
import pickle
import random
import warnings
import zipfile

import numpy as np
from _faults_cases import ESTIMATORS, case, counted, data, flipped, in_a_fork, model

TRUSTED = [
    "skl_sae.transformer.SparseAutoencoderTransformer", "skl_sae.outlier.SparseAutoencoderOutlierDetector",
    "skl_sae.topk.TopKAutoencoderTransformer",
]  # fmt: skip


def uses(fitted):
    """All outputs of a model for some rows."""
    X = data()[:20]
    names = "transform", "score_samples", "predict", "score_contributions"
    return [getattr(fitted, name)(X) for name in names if hasattr(fitted, name)]


def judged(load_and_use, expected):
    """Load and use a changed file; say how that ended."""
    warnings.simplefilter("ignore")
    try:
        found = load_and_use()
    except Exception:
        return "an error"
    if [one.shape for one in found] != [one.shape for one in expected]:
        return "wrong shapes"
    if not all(np.isfinite(one).all() for one in found):
        return "not finite"
    return "the same" if all(map(np.array_equal, found, expected)) else "other numbers"


def saved_models():
    for estimator in ESTIMATORS:
        yield model(estimator, "adam", warm_start=True).fit(data())


def changed_skops(change, part, good):
    """Save models with skops, apply ``change`` to the files, and count how loading and using them ends."""
    import skops.io as sio

    answers = []
    for fitted in saved_models():
        saved, expected = sio.dumps(fitted), uses(fitted)
        for _ in range(max(1, round(250 * part))):
            changed = change(saved)
            answers.append(in_a_fork(judged, lambda: uses(sio.loads(changed, trusted=TRUSTED)), expected))  # noqa: B023
    return counted(answers, good)


@case("500 flipped bytes in skops files")
def flipped_skops(part):
    return changed_skops(lambda saved: flipped(saved, random.randrange(len(saved))), part, ["an error", "the same"])


@case("500 flipped bytes in files inside skops files, with a correct checksum")
def tampered_skops(part):
    """A model with other finite numbers is valid: they cannot be told from those of a fit."""
    return changed_skops(repacked, part, ["an error", "the same", "other numbers"])


def repacked(saved):
    """Flip a bit inside the zip file and correct the checksum: in the schema, or in the first bytes of an array."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved)) as before, zipfile.ZipFile(result, "w") as after:
        names = before.namelist()
        chosen = random.choice([name for name in names if name != "schema.json"] + ["schema.json"] * len(names))
        for name in names:
            content = before.read(name)
            end = len(content) if name == "schema.json" else 200  # the header and a few numbers
            if name == chosen:
                content = flipped(content, random.randrange(min(end, len(content))))
            after.writestr(name, content)
    return result.getvalue()


WEIGHTS = ["encoder_coef_", "encoder_intercept_", "decoder_coef_", "decoder_intercept_", "n_features_in_"]
CHANGES = {
    "longer": lambda a: np.concatenate([a, a]),
    "shorter": lambda a: a[:1],
    "flat": lambda a: np.atleast_2d(a)[0, 0],
    "of another order": lambda a: a[None],
    "NaN": lambda a: np.where(np.arange(np.size(a)).reshape(np.shape(a)) == 0, np.nan, a),
    "infinite": lambda a: np.where(np.arange(np.size(a)).reshape(np.shape(a)) == 0, np.inf, a),
    "objects": lambda a: np.asarray(a).astype(object),
    "complex": lambda a: a * (1 + 1j),
    "whole": lambda a: np.asarray(a).astype(int),
    "text": lambda a: np.asarray(a).astype(str),
    "gone": lambda a: None,
}


@case("saved models with arrays of another shape or type, missing or not finite")
def tampered_arrays(part):
    import skops.io as sio

    answers = []
    for fitted in saved_models():
        expected, names = uses(fitted), WEIGHTS + (["offset_"] if hasattr(fitted, "offset_") else [])
        for name, change in itertools.product(names, CHANGES):
            try:
                tampered = with_changed(fitted, name, CHANGES[change])
                files = (
                    (pickle.dumps(tampered), pickle.loads),
                    (sio.dumps(tampered), functools.partial(sio.loads, trusted=TRUSTED)),
                )
            except (ValueError, TypeError, IndexError):
                continue  # this change is not possible for a number
            for saved, load in files:
                answer = in_a_fork(judged, lambda: uses(load(saved)), expected)  # noqa: B023
                answers.append(answer if answer in ("an error", "the same") else f"{name} {change}: {answer}")
    return counted(answers, ["an error", "the same"])


def with_changed(fitted, name, change):
    """A copy with another value of an attribute; tests/test_saving.py changes what detectors hold in dictionaries."""
    changed = copy.deepcopy(fitted)
    setattr(changed, name, change(getattr(changed, name)))
    return changed


def onnx_uses(content):
    """Outputs of a graph after all checks of onnx."""
    import onnx
    import onnxruntime

    onnx.checker.check_model(onnx.load_model_from_string(content), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"X": data()[:17].astype(np.float32)})  # 17: no size of the model


def onnx_models():
    from skl_sae.onnx import to_onnx

    for fitted in saved_models():
        outputs = ["score_samples", "label" if hasattr(fitted, "predict") else "code"]
        yield to_onnx(fitted, outputs=outputs)


def changed_onnx(change, good):
    """Apply ``change`` to ONNX files; count how using them ends, and how many `verify` refuses, which should be all."""
    from skl_sae.onnx import verify

    answers, refused = [], 0
    for onnx_model in onnx_models():
        content = onnx_model.SerializeToString()
        expected = onnx_uses(verify(content))
        for changed in change(content):
            answer = in_a_fork(judged, lambda: onnx_uses(changed), expected)  # noqa: B023
            try:
                verify(changed)
                answer = "let through by verify"
            except ValueError:
                refused += 1
            answers.append(answer)
    tried, held, remark = counted(answers, good)
    return tried, held, f"verify refuses {refused}; without it {remark}"


@case("500 flipped bytes in ONNX files: refused by verify; without it an error or a result")
def flipped_onnx(part):
    """The format has no checksum: other numbers, and sometimes other shapes, make another valid graph."""

    def change(content):
        return [flipped(content, random.randrange(len(content))) for _ in range(max(1, round(250 * part)))]

    return changed_onnx(change, ["an error", "the same", "other numbers", "not finite", "wrong shapes"])


@case("ONNX files cut off or with weights of another shape: refused by verify; without it an error")
def tampered_onnx(part):
    import onnx

    def changes(content):
        yield from (content[: random.randrange(len(content))] for _ in range(max(5, round(50 * part))))
        for weights in range(len(onnx.load_model_from_string(content).graph.initializer)):
            for change in (lambda a: a[:-1], lambda a: a[..., None], lambda a: np.concatenate([a, a]), np.transpose):
                other = onnx.load_model_from_string(content)
                tensor = other.graph.initializer[weights]
                array = onnx.numpy_helper.to_array(tensor)
                if array.ndim and change(array).shape != array.shape and array.size > 1:
                    tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(change(array)), tensor.name))
                    yield other.SerializeToString()

    return changed_onnx(changes, ["an error", "the same"])
