"""Report a fit and its iterations as tasks to scikit-learn's callbacks, which were added in scikit-learn 1.9."""

import contextlib

__all__ = ["DURING_FIT", "FROM_SEARCH", "CallbackSupportMixin", "FitTasks", "NoTask"]

# What a search lends an autoencoder for a fit: a memory of results, and where to report problems.
FROM_SEARCH = "_once", "_warn"

# Attributes that a search and scikit-learn set during a fit; a copy saved by a callback leaves them out.
DURING_FIT = *FROM_SEARCH, "_callback_fit_ctx", "_skl_callbacks_to_teardown"

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Placeholder for scikit-learn without callbacks: there is no `set_callbacks`, so nothing to report."""


class FitTasks:
    """Tell the callbacks of an estimator when its fit and each iteration of the fit begin and end.

    Parameters
    ----------
    estimator : estimator
    max_iter : int
        Maximum number of iterations of the fit.
    """

    def __init__(self, estimator, max_iter):
        self._estimator, self._left, self._task = estimator, max_iter, None
        self._context = None
        if hasattr(estimator, "_init_callback_context"):
            self._context = estimator._init_callback_context(max_subtasks=max_iter)

    def begin(self, X, y, sample_weight):
        """Report that the fit begins, with validated data."""
        self._data = {"X": X, "y": y}
        if sample_weight is not None:
            self._data["metadata"] = {"sample_weight": sample_weight}
        if self._context is not None:
            self._context.call_on_fit_task_begin(estimator=self._estimator, **self._data)
        if not hasattr(self._estimator, "_skl_callbacks"):
            self._context = None  # no callback is set, so iterations cost nothing

    def begin_iteration(self):
        """Report that the next iteration begins, unless one has begun already or none is left."""
        if self._context is not None and self._task is None and self._left > 0:
            self._left -= 1
            self._task = self._context.subcontext(task_name="iteration")
            self._task.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def end_iteration(self, attributes):
        """Report that an iteration ends; return True if a callback asks to stop training.

        ``attributes`` is called, if a callback needs it, for the fitted attributes after this iteration; None means
        that there are none that could be used.
        """
        if self._task is None:
            return False
        task, self._task = self._task, None
        return task.call_on_fit_task_end(estimator=self._estimator, reconstruction_attributes=attributes, **self._data)

    def end(self):
        """Report that the fit ends, and with it any iteration that began but was no longer needed."""
        if self._task is not None:
            self._task.call_on_fit_task_end(estimator=self._estimator)
            self._task = None
        if self._context is not None:
            attributes = vars(self._estimator)
            self._context.call_on_fit_task_end(
                estimator=self._estimator, reconstruction_attributes=lambda: dict(attributes), **self._data
            )


class NoTask:
    """What takes the place of a task where scikit-learn has no callbacks."""

    def subcontext(self, **_):
        return self

    def call_on_fit_task_begin(self, **_):
        return self

    def call_on_fit_task_end(self, **_):
        return None

    def propagate_callback_context(self, _):
        return contextlib.nullcontext()
