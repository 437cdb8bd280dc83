"""Every compiled function of the package, and the tables that name their variants.

The disk cache digests all files of this folder, so a compiled function may call compiled functions of any file here,
and of no other folder.

Each file imports only files to its left: gemm, jit, sizes, structs ← activations, largest, neighbours, penalties,
picked, team ← blocks, products ← groups, inference, topk_inference ← evaluate, gram, topk_rows, units ← adam ←
topk_units ← topk ← topk_batch.

Conventions. X (n, d) rows; W (m, d) encoder weights; V (m, d) = transposed decoder weights, so that a tied model has
V = W; b (m,), c (d,) biases; H (n, m) codes. All parameters live in one flat vector ``theta`` = [W, V, b, c] (tied:
[W, b, c]), weights first, so that weight decay acts on a prefix. Row weights ``w`` sum to one over the rows of a call.
Losses and mean activations are summed in float64 whatever the dtype of the data. The caller provides scratch memory.
"""
