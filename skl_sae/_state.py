"""Saved estimators: their layouts, and checks of what is loaded."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ._callbacks import DURING_FIT

# Layout of the attributes of a saved estimator. A change needs the next number here and an entry in `translate`.
LAYOUT = 3

# Attributes that are made anew when they are needed.
NOT_SAVED = (*DURING_FIT, "_folds")


def translate(state: dict[str, Any], layout: int) -> dict[str, Any]:
    """Convert the attributes of an earlier layout to the present one."""
    if layout < 2 and "_training" in state:  # one object for the state of all solvers
        old = vars(state["_training"])
        memories = {}
        if old["first"] is not None:
            memories["adam"] = {"exp_avg": old["first"], "exp_avg_sq": old["second"], "n_steps": old["n_steps"]}
        if old["pairs"] is not None:
            memories["lbfgs"] = {"pairs": old["pairs"]}
        kept = {name: old[name] for name in ("rng", "noise_rng", "split_seed")}
        state["_training"] = {**kept, "memories": memories}
    if layout < 2:
        state.setdefault("penalty", "kl")
    if layout < 3 and "_scatter" in state:  # a detector had an attribute for each part of its scorer
        scaler, scatter, d = state.pop("_scaler"), state.pop("_scatter"), state["n_features_in_"]
        state["_scorer_state"] = {
            "scoring": state.pop("_scoring"),
            "mean": np.zeros(d) if scaler is None else scaler.mean_,
            "scale": np.ones(d) if scaler is None else scaler.scale_,
            "centre": state.pop("_centre"),
            **scatter._asdict(),
        }
    return state


class SavedStateMixin(BaseEstimator):
    """Pickling with the number of the layout, and checks of fitted attributes, which the methods then trust."""

    def __getstate__(self) -> dict[str, Any]:
        state = {**super().__getstate__(), "_skl_sae_state": LAYOUT}
        return {name: value for name, value in state.items() if name not in NOT_SAVED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        layout = state.pop("_skl_sae_state", 0)
        if layout > LAYOUT:
            raise ValueError(
                f"This {type(self).__name__} was saved by a newer version of skl_sae (layout {layout}; this version "
                f"knows layouts up to {LAYOUT}). Upgrade skl_sae to load it."
            )
        super().__setstate__(translate(state, layout))
        if hasattr(self, "encoder_coef_"):
            self._check_state()

    def _check_state(self) -> None:
        """Refuse fitted attributes that no fit leaves: a file may come from anybody."""
        for part in self._parameters(self.encoder_coef_.dtype):
            self._check_numbers("weights", part, part.shape)

    def _check_numbers(self, name: str, numbers: Any, shape: tuple[int, ...]) -> None:
        numbers = np.asarray(numbers)
        if numbers.dtype.kind != "f" or numbers.shape != shape or not np.isfinite(numbers).all():
            raise ValueError(
                f"The fitted {name} of this {type(self).__name__} must be finite floating-point numbers of shape "
                f"{shape}; got {numbers.dtype} of shape {numbers.shape}."
            )
