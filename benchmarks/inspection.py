"""Do the functions of `skl_sae.inspection` tell the truth, and how long do they take?

    python benchmarks/inspection.py --data FOLDER                     # every question, about ten minutes
    python benchmarks/inspection.py --only planted noise select chance
    python benchmarks/inspection.py --data FOLDER --only words --units 20 --markdown docs/guide/word_units.md

Planted dictionaries have 200 atoms in 128 dimensions, 6 of them active in each row, and noise of .05 (in the question
"planted" also .3); autoencoders have 300 units with k = 8 and seed 0. Seeds of the data begin at --seed (explore: 100,
confirm: 500). FOLDER holds embeddings/words.npz (words, X) and mnist.npz; questions whose file is missing are left out,
with a message.
"""

import time
import warnings

import numpy as np
from _harness import Report, parser
from _inspection_data import directions, fitting, load, mean_cosine, noise, planted
from sklearn.base import clone
from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
from sklearn.metrics import roc_auc_score
from sklearn.utils import check_random_state

from skl_sae import SparseAutoencoderTransformer, TopKAutoencoderTransformer
from skl_sae.inspection import feature_report, feature_stability, frozen_random, select_features, sparse_probe

N_TOP = 8


def fit(X, m=300, k=8, seed=0, **settings):
    return TopKAutoencoderTransformer(m, k, random_state=seed, **settings).fit(X)


def ask_planted(report, options):
    rows = []
    for noise_level in (0.05, 0.3):
        for seed in range(options.seed, options.seed + options.runs):
            X, atoms, _ = planted(seed, noise_level)
            sae = fit(X)
            true = (directions(sae.components_) @ atoms.T).max(axis=1) > 0.8
            stable = feature_stability(sae, X, random_state=seed)
            one_class = true.all() or not true.any()
            rows.append({
                "name": f"noise {noise_level}, data {seed}",
                "true units": true.sum(),
                "AUROC": float("nan") if one_class else roc_auc_score(true, stable.cosine_),
                "AUROC corr.": float("nan") if one_class else roc_auc_score(true, stable.correlation_),
                "stable": stable.stable_.sum(),
                "of true": stable.stable_[true].sum(),
                "chance": max(stable.chance_.values()),
            })  # fmt: skip
    report.add("planted dictionaries: stability of true atoms (cosine > .8 with one), 300 units", rows)


def ask_noise(report, options):
    rows = []
    for seed in range(options.seed, options.seed + options.runs):
        X = noise(seed)
        stable = feature_stability(fit(X), X, random_state=seed)
        rows.append({"name": f"data {seed}", "stable": stable.stable_.sum(), "mean": stable.cosine_.mean(),
                     **stable.chance_, "lowest p": stable.p_value_.min()})  # fmt: skip
    report.add("Gaussian noise: units called stable at a false discovery rate of 5 %, and mean cosines", rows)


def ask_select(report, options):
    rows = []
    for seed in range(options.seed, options.seed + options.runs):
        X, atoms, amounts = planted(seed)
        sae = fit(X)
        codes, found = sae.transform(X), []
        for j in range(20):
            best = select_features(codes, amounts[:, j] > 0, random_state=seed).ranking_[0]
            found.append(directions(sae.components_)[best] @ atoms[j])
        rows.append({"name": f"data {seed}", "of 20": np.sum(np.array(found) >= 0.8), "lowest": min(found)})
    report.add("select_features: cosine >= .8 between atom j and the first unit for 'j is active'", rows)


def ask_chance(report, options):
    X, _, _ = planted(options.seed)
    codes, rows = fit(X[:4000]).transform(X[4000:6000]), []
    rng = np.random.default_rng(options.seed + 1)
    targets = {
        "two classes": lambda: rng.integers(2, size=2000),
        "two classes, 2 % in one": lambda: rng.random(2000) < 0.02,
        "five classes": lambda: rng.integers(5, size=2000),
        "numbers, heavy-tailed": lambda: rng.standard_t(2, size=2000),
    }
    for name, draw in targets.items():
        runs = [len(select_features(codes, draw(), random_state=i).selected_) for i in range(options.chance_runs)]
        share = np.mean(np.array(runs) > 0)
        rows.append({"name": name, "with any": share, "two s.e.": 2 * np.sqrt(0.09 / len(runs)), "most": max(runs)})
    report.add(f"select_features on pure chance, fdr = .1: {options.chance_runs} runs with any discovery", rows)


def top_of_components(Z, n):
    """Return the rows with the highest values of each component, and with the lowest: both are directions."""
    return np.concatenate([np.argsort(-Z, axis=0)[:n].T, np.argsort(Z, axis=0)[:n].T])


def ask_words(report, options):
    file = load(options.data, "embeddings/words.npz")
    if file is None:
        return print("words: left out, embeddings/words.npz is missing")
    X, words = file["X"].astype(np.float32), file["words"]
    unit, rows = directions(X), []
    sae, seconds = timed(lambda: fit(X, 1000, 8))
    described, report_seconds = timed(lambda: feature_report(sae, X, names=words))
    top, middle = described.top_rows_[:, :N_TOP], described.middle_rows_
    fits, both = fitting(unit, top, middle)
    rng = check_random_state(options.seed)
    chance = np.array([rng.choice(len(X), N_TOP, replace=False) for _ in range(1000)])
    rows.append({"name": "skl_sae, 1000 units, k = 8", "cosine": np.nanmean(mean_cosine(unit, top)),
                 "middle": np.nanmean(mean_cosine(unit, middle)), "fit seconds": seconds})  # fmt: skip
    short, seconds = timed(lambda: [fit(X, 1000, 8, seed, max_iter=10) for seed in range(options.word_seeds)])
    cosines = [np.nanmean(mean_cosine(unit, feature_report(one, X).top_rows_[:, :N_TOP])) for one in short]
    rows.append({"name": "the same, 10 epochs", "cosine": np.mean(cosines), "lowest": min(cosines),
                 "highest": max(cosines), "fit seconds": seconds / len(short)})  # fmt: skip
    pca, seconds = timed(lambda: PCA(random_state=0).fit(X))
    rows.append({"name": "PCA, 100 components, both ends", "fit seconds": seconds,
                 "cosine": np.nanmean(mean_cosine(unit, top_of_components(pca.transform(X), N_TOP)))})  # fmt: skip
    frozen = frozen_random(sae, X, random_state=1)
    random = feature_report(frozen, X)
    random_top = random.top_rows_[:, :N_TOP]
    rows.append({"name": "frozen random autoencoder", "cosine": np.nanmean(mean_cosine(unit, random_top)),
                 "middle": np.nanmean(mean_cosine(unit, random.middle_rows_))})  # fmt: skip
    rows.append({"name": "random words", "cosine": np.nanmean(mean_cosine(unit, chance))})
    report.add("words: mean cosine within the top 8 words of a unit", rows)
    report.add("words: middle rows whose mean cosine with the top rows is above that of 99 % of random words", [
        {"name": "skl_sae", "share": fits.mean(), "cosine": both.mean()},
        {"name": "frozen random", "share": fitting(unit, random_top, random.middle_rows_)[0].mean()},
    ])  # fmt: skip
    stable = feature_stability(sae, X, random_state=options.seed)
    report.add("words: stability with 5 refits", [
        {"name": "1000 units", "stable": stable.stable_.sum(), "cosine": stable.cosine_.mean(), **stable.chance_,
         "report seconds": report_seconds},
    ])  # fmt: skip
    if options.markdown:
        write_units(options, described, stable)
    return None


def ask_dictionary(report, options):
    file = load(options.data, "embeddings/words.npz")
    if file is None:
        return print("dictionary: left out, embeddings/words.npz is missing")
    X, rows = file["X"].astype(np.float32), []
    unit = directions(X)
    learner = MiniBatchDictionaryLearning(
        1000,
        alpha=1.0,
        batch_size=512,
        max_iter=options.epochs,
        tol=0,
        max_no_improvement=None,
        fit_algorithm="cd",
        transform_algorithm="omp",
        transform_n_nonzero_coefs=8,
        random_state=0,
    )
    centred = X - X.mean(axis=0)
    some = np.random.default_rng(0).choice(len(X), min(options.words, len(X)), replace=False)
    _, seconds = timed(lambda: learner.fit(centred[some]))
    Z = learner.transform(centred)
    groups = top_of_components(Z, N_TOP)
    active = np.concatenate([(Z > 0).sum(axis=0), (Z < 0).sum(axis=0)]) >= N_TOP
    rows.append({"name": "MiniBatchDictionaryLearning, 1000 atoms, OMP, both signs", "fit seconds": seconds,
                 "cosine": np.nanmean(mean_cosine(unit, groups[active]))})  # fmt: skip
    report.add(f"words: mean cosine within the top 8 words of an atom, fitted to {len(some)} words", rows)
    return None


def write_units(options, described, stable):
    """Write a table of units drawn at random, none of them left out."""
    units = np.sort(np.random.default_rng(options.seed).choice(len(described), options.units, replace=False))
    lines = ["| unit | active on | comes back | top words | from the middle |", "|---|---|---|---|---|"]
    for j in units:
        one = described[j]
        back = f"{'yes' if stable.stable_[j] else 'no'} ({stable.cosine_[j]:.2f})"
        texts = [", ".join(word.replace("|", "\\|") for word in part) for part in (one.top[:N_TOP], one.middle)]
        lines.append(f"| {j} | {one.frequency:.2%} | {back} | {texts[0]} | {texts[1]} |")
    with open(options.markdown, "w") as file:
        file.write("\n".join(lines) + "\n")


def ask_mnist(report, options):
    file = load(options.data, "mnist.npz")
    if file is None:
        return print("mnist: left out, mnist.npz is missing")
    X, Y = (file[name].reshape(-1, 784).astype(np.float32) / 255 for name in ("X_train", "X_test"))
    X, y = X[: options.images], file["y_test"]
    common = {"pixels": Y, "PCA": PCA(256, random_state=0).fit(X).transform(Y)}
    settings = {"rho": 0.1, "beta": 6, "alpha": 3e-3, "output_activation": "sigmoid"}  # of the UFLDL exercise
    contenders = {
        "200 units, sigmoid": SparseAutoencoderTransformer(200, **settings, solver="adam", max_iter=20, random_state=0),
        "64 units, k = 8": TopKAutoencoderTransformer(64, 8, max_iter=20, random_state=0),
    }
    for name, sae in contenders.items():
        codes, rows = sae.fit(X).transform(Y), []
        baselines = common | {"frozen random": frozen_random(sae, X, random_state=1).transform(Y)}
        for seed in range(options.seed, options.seed + options.runs):
            probe = sparse_probe(codes, y, 16, baselines=baselines, random_state=seed)
            scores = {"units": probe.score_} | {other: one.score_ for other, one in probe.baselines_.items()}
            rows.append({"name": f"split {seed}", **scores})
        report.add(f"MNIST, 10000 test images, 16 of {name}, for each digit: AUROC on held-out rows, mean", rows)
    return None


def ask_time(report, options):
    file = load(options.data, "embeddings/words.npz")
    X = file["X"].astype(np.float32) if file is not None else planted(options.seed)[0]
    fit(X[:2000], 1000, 8)  # compiles
    sae, rounds = fit(X, 1000, 8), []
    for _ in range(options.runs):
        _, report_seconds = timed(lambda: feature_report(sae, X))
        stable, one_job = clocks(lambda: feature_stability(sae, X, random_state=1))
        _, two_jobs = clocks(lambda: feature_stability(sae, X, n_jobs=2, random_state=1))
        _, refits = clocks(lambda: [clone(one).fit(X) for one in stable.estimators_])  # noqa: B023
        refit = refits / len(stable.estimators_)
        rounds.append([report_seconds, *refit, *one_job, *two_jobs, *one_job / refit, *two_jobs / refit])
    report_seconds, *seconds = np.median(rounds, axis=0)
    name = f"stability with 5 refits, {X.shape[0]} x {X.shape[1]} -> 1000 units"
    names = "by the clock", "of the processor", "by the clock, n_jobs=2", "of the processor, n_jobs=2"
    rows = [{"name": name, "seconds": seconds[2 + i], "in refits": seconds[6 + i]} for i, name in enumerate(names)]
    report.add(name, [
        {"name": "report", "seconds": report_seconds},
        {"name": "a refit", "seconds": seconds[0]},
        *rows,
    ])  # fmt: skip


def timed(function):
    result, (seconds, _) = clocks(function)
    return result, seconds


def clocks(function):
    """Return the result of a function, and seconds by the clock and of the processor."""
    begun = np.array([time.perf_counter(), time.process_time()])
    result = function()
    return result, np.array([time.perf_counter(), time.process_time()]) - begun


QUESTIONS = {
    "planted": ask_planted,
    "noise": ask_noise,
    "select": ask_select,
    "chance": ask_chance,
    "words": ask_words,
    "dictionary": ask_dictionary,
    "mnist": ask_mnist,
    "time": ask_time,
}


def main():
    options = parser(__doc__, rounds=None, plot=False)
    options.add_argument("--data", help="folder with embeddings/words.npz and mnist.npz (default: SKL_SAE_DATA)")
    options.add_argument("--only", nargs="+", choices=QUESTIONS, default=list(QUESTIONS), help="ask only these")
    options.add_argument("--seed", type=int, default=100, help="first seed of the data")
    options.add_argument("--runs", type=int, default=3, help="data sets, or splits")
    options.add_argument("--chance-runs", type=int, default=200)
    options.add_argument("--word-seeds", type=int, default=5, help="fits of 10 epochs to the words")
    options.add_argument("--epochs", type=int, default=3, help="passes of dictionary learning over the words")
    options.add_argument("--words", type=int, default=30000, help="random words to fit the dictionary to")
    options.add_argument("--images", type=int, default=60000, help="images of MNIST to fit to")
    options.add_argument("--units", type=int, default=20, help="units in the table of --markdown")
    options.add_argument("--markdown", help="write a table of random units of the words to this file")
    options = options.parse_args()
    warnings.simplefilter("ignore")
    report = Report(options)
    for name in options.only:
        QUESTIONS[name](report, options)
    report.close()


if __name__ == "__main__":
    main()
