"""Words of docstrings, with places for their figures, written as in the comments of pages.py; some are table rows."""

CHANGES = "{worst explained:+.1f} / {mean explained:+.1f}", "{worst score:+.1f} / {mean score:+.1f}"
LINE = " ".join(["{least < .05:.0f} {least zero:.0f}", *CHANGES])
LIST = ", ".join(["{least < .05:.0f}, {least zero:.0f}", *CHANGES])
SCALED = "standardised, beta=3, alpha=0.001", "in [0, 1], beta=3, alpha=0.001"
SMALL = "digits + breast cancer + wine"
NO_PENALTY = " + ".join(f"rho = {rho}, beta = 0.0" for rho in (0.02, 0.05, 0.1, 0.2, 0.4))
DOCSTRINGS = {
    "skl_sae/transformer.py": [
        f"defaults: {SCALED[0]}; {SMALL}; explain at least {{lowest explained:.0%}} of the variance of the small sets",
        f"defaults: {SCALED[1]}; {SMALL}; when standardised and {{lowest explained:.0%}} in [0, 1]",
        f"defaults: {SCALED[0]}; MNIST; in [0, 1], and {{explained:.0%}} and",
        f"defaults: {SCALED[1]}; MNIST; and {{explained:.0%}} of the variance of MNIST",
        f"defaults: {SCALED[1]}; *; within {{highest |mean - rho|:.3f}} of ``rho`` on average",
        f"defaults: {SCALED[0]}; MNIST; (standardised MNIST: {{|mean - rho|:.2f}}, or",
        "defaults: standardised, beta=10; MNIST; or {|mean - rho|:.2f} with ``beta=10``)",
        f"defaults: {SCALED[0]}; *; raw features by {{lowest gain:+.3f}} to {{highest gain:+.3f}} (standardised)",
        f"defaults: {SCALED[1]}; *; and {{lowest gain:+.3f}} to {{highest gain:+.3f}} (in [0, 1])",
        "sparsity: all sets; defaults; defaults {least < .05:.0f} {least zero:.0f}",
        f"sparsity: all sets; rho=0.045, alpha=3e-4; rho=0.045, alpha=3e-4 {LINE}",
        f"sparsity: all sets; rho=0.02; rho=0.02 {LINE}",
        f'sparsity: all sets; ReLU; activation="relu" {LINE}',
        f'sparsity: all sets; ReLU, rho=0.05; activation="relu", rho=0.05 {LINE}',
        "sparsity: defaults; *; with the defaults: {lowest < .05:.0f} to {highest < .05:.0f} % of the activations",
        f"sparsity_adbench: all sets; ReLU, rho=0.05; the figures are {LIST} for the last setting",
        f"sparsity_adbench: all sets; rho=0.02; for the last setting and {LIST} for ``rho=0.02``",
        f"sparsity_mnist: MNIST; {NO_PENALTY}; the code reaches {{lowest accuracy:.1f}} to {{highest accuracy:.1f}} %",
        "sparsity_mnist: MNIST; rho = 0.05, beta = 1.0; within a point of the best, {accuracy:.1f} %",
        "mnist_probe: MNIST, 256; sigmoid output; it reaches {accuracy:.1f} % on a code trained with",
        'mnist_probe: MNIST, 256; sparse autoencoder; and {accuracy:.1f} % with "identity"',
        "natural_images: Filters; 192 units, seed 0; iterations give {R² >= 0.7, %:.0f} % edge filters",
    ],
    "skl_sae/topk.py": [
        "topk_quality: FVU with our defaults; MNIST; epochs) they leave {ours:.1%} of the variance unexplained",
        "topk_quality: FVU with our defaults; planted; of planted rows (1536 units, k=20) {ours:.0%}",
    ],
}
