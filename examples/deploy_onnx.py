"""
Save a detector as an ONNX file
===============================

The file can be used without Python and without this package.

The detector is trained on half of the benign tumours in scikit-learn's breast cancer data set;
onnxruntime then scores all tumours. The script needs the extra ``onnx``::

    pip install ".[onnx]"
    python examples/deploy_onnx.py detector.onnx     # writes the file
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
from sklearn.datasets import load_breast_cancer

from skl_sae import SparseAutoencoderOutlierDetector
from skl_sae.onnx import to_onnx, verify


def main():
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "detector.onnx")
    X, y = load_breast_cancer(return_X_y=True)
    X, malignant = X.astype(np.float32), y == 0
    detector = SparseAutoencoderOutlierDetector(random_state=0)
    detector.fit(X[~malignant][::2])
    path.write_bytes(to_onnx(detector).SerializeToString())
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")

    session = onnxruntime.InferenceSession(verify(path), providers=["CPUExecutionProvider"])
    label, scores = (output[:, 0] for output in session.run(["label", "scores"], {"X": X}))
    benign = np.flatnonzero(~malignant)
    for name, rows in (
        ("training", benign[::2]),
        ("benign", benign[1::2]),
        ("malignant", np.flatnonzero(malignant)),
    ):
        print(f"{name:<10}{np.mean(label[rows] == -1):4.0%} of {len(rows)} flagged")
    difference = np.abs(scores - detector.decision_function(X)).max()
    print(
        f"largest difference from Python {difference:.1g}, largest score {np.abs(scores).max():.0f}"
    )


if __name__ == "__main__":
    main()
