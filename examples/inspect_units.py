"""Which units of digits come back, what they stand for, and what they have to do with the digit.

    pip install ".[plot]"
    python examples/inspect_units.py FOLDER         # writes three PNG files

A top-k autoencoder is trained on half of scikit-learn's handwritten digits, without their labels. Refits say which of
its units come back, the other half what units have to do with the digit, and a probe what a few of them tell together,
beside as many pixels, principal components, and units with random weights.

So few images do not determine 48 units: none comes back in most refits, although nearly all have to do with the digit,
and four principal components tell it slightly better than four units do.
"""

import sys
from pathlib import Path

from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skl_sae import TopKAutoencoderTransformer
from skl_sae.inspection import feature_report, feature_stability, frozen_random, select_features, sparse_probe
from skl_sae.plotting import StabilityDisplay, UnitDisplay


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    X, y = load_digits(return_X_y=True)
    X, X_test, _, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
    sae = TopKAutoencoderTransformer(48, k=6, random_state=0).fit(X)

    stability = feature_stability(sae, X, random_state=1)
    print(stability)
    StabilityDisplay(stability).plot().figure_.savefig(folder / "digits_stability.png", dpi=100)

    codes = sae.transform(X_test)
    selected = select_features(codes, y_test, random_state=0)
    print(f"\n{selected}")

    report = feature_report(sae, X_test, names=[f"a {digit}" for digit in y_test], random_state=0)
    report.label(lambda unit: max(set(unit.middle), key=unit.middle.count) if unit.middle else "never active")
    print(f"\n{report}")
    for number, unit in enumerate(selected.selected_[:2]):
        display = UnitDisplay.from_estimator(sae, X_test, int(unit), label=report.labels_[unit])
        display.figure_.savefig(folder / f"digits_unit_{number}.png", dpi=100)

    baselines = {
        "pixels": X_test,
        "PCA": PCA(48).fit(X).transform(X_test),
        "frozen random": frozen_random(sae, X, random_state=2).transform(X_test),
    }
    print(f"\n{sparse_probe(codes, y_test, 4, baselines=baselines, random_state=0)}")


if __name__ == "__main__":
    main()
