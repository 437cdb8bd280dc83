"""Types of arguments and results, and type hints for scikit-learn decorators, which keep the decorated type."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import sparray, spmatrix

from ._kernels.activations import HiddenActivation, OutputActivation
from ._kernels.penalties import PenaltyName
from ._solvers import SolverName

__all__ = [
    "Float64Array",
    "FloatArray",
    "HiddenActivation",
    "MatrixLike",
    "OutputActivation",
    "PenaltyName",
    "Problems",
    "SolverName",
    "_fit_context",
    "validate_params",
]

# Rows as a user passes them.
MatrixLike: TypeAlias = ArrayLike | sparray | spmatrix

# float32 or float64, depending on the data.
FloatArray: TypeAlias = NDArray[np.floating[Any]]
Float64Array: TypeAlias = NDArray[np.float64]

# What to warn of: pairs of a message and a category, or of a message and an exception that ended the fit.
Problems: TypeAlias = list[tuple[str, type[BaseException]]]

if TYPE_CHECKING:
    Function = TypeVar("Function", bound=Callable[..., Any])

    def _fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[Function], Function]: ...

    def validate_params(
        parameter_constraints: dict[str, list[Any]], *, prefer_skip_nested_validation: bool
    ) -> Callable[[Function], Function]: ...
else:
    from sklearn.base import _fit_context
    from sklearn.utils._param_validation import validate_params
