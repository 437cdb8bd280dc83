"""Pictures of an autoencoder for images: its training, filters, reconstructions and activations.

    pip install ".[plot]"
    python examples/gallery_images.py FOLDER        # writes four PNG files

The images are scikit-learn's handwritten digits.
"""

import sys
from pathlib import Path

from sklearn.datasets import load_digits

from skl_sae import SparseAutoencoderTransformer
from skl_sae.metrics import explained_variance_scorer, population_sparsity
from skl_sae.plotting import ActivationDisplay, FilterDisplay, ReconstructionDisplay, TrainingDisplay


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    X = load_digits().data / 16
    sae = SparseAutoencoderTransformer(64, rho=0.05, beta=3.0, alpha=3e-3, random_state=0).fit(X)
    displays = {
        "training": TrainingDisplay.from_estimator(sae),
        "filters": FilterDisplay.from_estimator(sae),
        "reconstructions": ReconstructionDisplay.from_estimator(sae, X[:12]),
        "activations": ActivationDisplay.from_estimator(sae, X),
    }
    for name, display in displays.items():
        display.figure_.savefig(folder / f"digits_{name}.png", dpi=100)
    print(f"explained variance {explained_variance_scorer(sae, X):.3f}")
    print(f"sparsity of the codes {population_sparsity(sae.transform(X)):.3f} (Hoyer)")


if __name__ == "__main__":
    main()
