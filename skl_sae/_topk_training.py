"""A training run of a top-k autoencoder."""

import numpy as np

from ._diagnostics import diagnose_equal_rows, diagnose_silent
from ._model import unpack
from ._objectives.topk import PATIENCE, PATIENCE_WITH_CHUNKS, TopKLoss, TopKObjective, divergence
from ._topk_model import Code, Frame, architecture, calibrate, initial_parameters
from ._training import Run, Training


def in_order(X):
    """Return the indices of the rows of an array in the order of their values, which does not depend on their scale."""
    kind, sign = np.dtype(f"u{X.itemsize}"), 8 * X.itemsize - 1
    bits = (X + 0).view(kind)  # -0 is 0
    ordered = np.where(bits >> sign, ~bits, bits | kind.type(1 << sign)).astype(kind.newbyteorder(">"))
    return np.argsort(ordered.view(np.dtype((np.void, X.itemsize * X.shape[1]))).ravel(), kind="stable")


class TopKRun(Run):
    """One training run, from rows to an `Outcome`."""

    def _set_up(self, n_components):
        self.arch = architecture(self.rows.shape[1], n_components)
        self.code = Code.of(self.settings)

    def _hold_out(self):
        self._merge_duplicates()
        return super()._hold_out()

    def _merge_duplicates(self):
        """Merge equal rows of small data, so that two equal rows are one of weight 2, unless their order counts."""
        merged, weights = self.rows.merge_duplicates(self.weights) if self.settings.shuffle else (self.rows, None)
        if merged is not self.rows:
            order = in_order(merged.toarray())
            self.rows, self.weights, self.distinct = merged.take(order), weights[order], True

    def _start(self, mean, variance):
        with np.errstate(over="ignore"):
            self.variance, kept = float(variance.sum()), self.state.frame
        if not np.isfinite(self.variance):
            raise divergence(self.rows.dtype, self.variance)
        if self.earlier is None:
            self.frame = Frame.of(mean, variance)
            settings = self.frame, self.code, self.settings.init, self.state.rng
            return initial_parameters(self.arch, self.rows, self.weights, *settings)
        theta = self.earlier.theta
        if kept is None:
            self.frame = Frame.of(mean, variance)
            _, W, V, b, c = unpack(theta, self.arch)
            return self.frame.inside(W, b, V, c)
        self.frame = Frame(kept["centre"], kept["scale"])
        theta = theta.copy()
        theta[-len(kept["biases"]) :] = kept["biases"]
        return theta

    def _loss(self, rows, weights):
        return TopKLoss(rows, weights, self.arch, self.code, self.frame, self.variance, self.rows)

    def _objective(self, solver):
        settings = self.settings
        return TopKObjective(
            *(self.rows, self.weights, self.arch, self.code, self.frame, self.variance),
            batch_size=int(settings.batch_size),
            revives=settings.resample_dead,
            patience=PATIENCE_WITH_CHUNKS if self.training.chunked else PATIENCE,
            rng=self.state.rng,
            crew=self.crew,
        )

    def _attributes(self, theta, monitor, state=None):
        state = self.state if state is None else state
        biases = theta[-self.arch.n_components - self.arch.n_features :].copy()
        state.frame = {"centre": self.frame.centre, "scale": self.frame.scale, "biases": biases}
        threshold = calibrate(self.frame.outside(theta, self.arch), self.code, self.rows)
        return super()._attributes(theta, monitor, state) | {"threshold_": threshold}

    def _parts(self, theta):
        return [part.copy() for part in self.frame.outside(theta, self.arch)]

    def _choices(self):
        return {"_code": tuple(self.code)}

    def _findings(self, objective):
        frequency = objective.frequency.copy()
        return {"activation_frequency_": frequency, "dead_fraction_": float(np.mean(frequency == 0))}

    def _diagnose(self, objective, final, mean, variance, unsettled):
        if not variance.any():
            return [diagnose_equal_rows()]
        return diagnose_silent(objective.frequency, final, self.settings, self.code.k, unsettled)


class TopKTraining(Training):
    """What every run of a fit has in common."""

    run_class = TopKRun
