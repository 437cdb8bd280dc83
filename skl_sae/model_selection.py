"""Search over the parameters of an autoencoder by warm starts."""

from __future__ import annotations

import os
import time
import warnings
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import clone, is_classifier
from sklearn.metrics._scorer import _MultimetricScorer
from sklearn.model_selection import GridSearchCV, ParameterGrid, check_cv
from sklearn.model_selection._validation import _insert_error_scores, _warn_or_raise_about_fit_failures
from sklearn.pipeline import Pipeline
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _check_method_params, indexable

from ._callbacks import NoTask
from ._path import Path, Walk, plan, share_walks, walk_fold
from ._types import Problems, _fit_context
from .transformer import SparseAutoencoderTransformer

if TYPE_CHECKING:
    from ._types import MatrixLike

__all__ = ["PathSearchCV"]

# Since scikit-learn 1.9.
HAS_CALLBACKS = hasattr(GridSearchCV, "_init_callback_context")

# What `path_results_` records about every autoencoder.
RECORDS = "start", "collapsed", "n_iter", "loss", "mean_activation", "dead_fraction"

# Most candidates that a warning names.
MOST_NAMED = 3


class PathSearchCV(GridSearchCV):
    """Grid search that trains every autoencoder from the weights of a neighbour in the grid.

    A drop-in replacement for `sklearn.model_selection.GridSearchCV` [1]_ for estimators with one autoencoder of this
    package: the estimator itself, or one inside a Pipeline, ColumnTransformer, FeatureUnion or
    TransformedTargetRegressor, nested in any way. Parameters, methods, attributes and ``cv_results_`` are those of
    GridSearchCV. A search over ``rho`` and ``beta`` takes a fraction of the time, because an autoencoder that starts
    from a trained one with similar parameters needs few iterations.

    In every fold, the search

    1. fits the steps before the autoencoder once, as well as those views of an outlier detector that need no
       autoencoder (see `SparseAutoencoderOutlierDetector`);
    2. trains one autoencoder from random weights, in the middle of the grid;
    3. goes, again and again, to the setting that is nearest to a finished one, and trains from the weights of that one
       and from what its solver remembers;
    4. for each candidate, fits the steps after the autoencoder, and scores. Candidates that differ only in these steps
       share an autoencoder.

    The walk is over ``rho``, ``beta``, ``alpha`` and ``tol`` (for a top-k autoencoder, over ``tol`` alone). Each
    setting of the other parameters (``n_components``, ``solver``, steps before the autoencoder, ...) is a path of its
    own, with a new start from random weights. A search in which every path has one setting does what GridSearchCV does,
    bit for bit.

    Parameters
    ----------
    estimator : estimator
        An autoencoder, or an estimator that contains one. Candidates that replace the autoencoder by something else
        are fitted as by GridSearchCV.
    param_grid : dict or list of dicts
        Values to try for each parameter, or several such grids.
    scoring : str, callable, list, tuple or dict, default=None
        Scorer or scorers. None uses the estimator's ``score``; that of `SparseAutoencoderTransformer` is the
        reconstruction error, which is best for small ``beta``. If the search then chooses the smallest ``beta``, it
        warns.
    n_jobs : int, default=None
        Number of processes. Each takes one path on one fold at a time. When fewer of these are left than there are
        processes, the branches of the paths are shared, and each process trains the autoencoders on the way to its
        branches itself. If there are not enough branches either, autoencoders are trained on several threads.
    refit : bool, str or callable, default=True
        Whether to fit the best candidate on all rows, the name of the scorer that chooses it, or a function that
        chooses it, such as `skl_sae.metrics.SparsestWithin`. The refit follows the path from its beginning to the best
        candidate, so that the refitted model is trained like those that were judged.
    cv : int, cross-validation generator or iterable, default=None
        Splits into folds; None stands for 5 folds.
    verbose : int, default=0
        Amount of messages, as for GridSearchCV.
    pre_dispatch : int or str, default="2*n_jobs"
        Number of tasks that are sent to processes in advance.
    error_score : "raise" or number, default=np.nan
        Score of a candidate whose fit fails; "raise" raises the error. Other candidates then start from the next
        nearest neighbour.
    return_train_score : bool, default=False
        Whether to score the training rows as well.

    Attributes
    ----------
    cv_results_ : dict of ndarrays
        Scores, times and parameters, with the columns of GridSearchCV. Times are those of the walk: steps before the
        autoencoder count for the first candidate of a path, and autoencoders on the way to a branch, where it has a
        process of its own, for the first candidate of the branch.
    path_results_ : dict of ndarrays of shape (n_candidates, n_splits)
        "start", index of the candidate whose weights the autoencoder started from, -1 for random weights;
        "collapsed", whether a first fit, from a neighbour, was replaced by one from random weights, see the notes;
        "n_iter", "loss", "mean_activation" (mean over the units) and "dead_fraction". NaN where the fit failed or the
        autoencoder has no such number.
    best_estimator_ : estimator
        The best candidate, fitted on all rows. ``n_iter_`` and ``history_`` of its autoencoder cover only the last fit
        on the path. Not available with ``refit=False``.
    best_score_, best_params_, best_index_, scorer_, n_splits_, refit_time_, multimetric_, classes_, n_features_in_, \
feature_names_in_
        As in GridSearchCV.

    Warns
    -----
    UserWarning
        If the search chooses the smallest ``beta`` by the reconstruction error.
    ConvergenceWarning, HiddenUnitWarning, DataRangeWarning
        What the autoencoders of the search would warn of, from all processes: one warning of each category, at the end,
        with the message of the first fit, the number of fits, and the parameters of a few candidates. The warnings of
        the fit to all rows follow.

    See Also
    --------
    sklearn.model_selection.GridSearchCV : Each candidate from random weights.
    skl_sae.metrics.SparsestWithin : Choose a sparse code whose score is nearly the best.
    skl_sae.plotting.SearchDisplay : Picture of a search over two or three parameters.

    Notes
    -----
    Steps in the grid count as distances, so neither scales nor logarithms matter; a step in ``rho`` counts most, then
    ``alpha``, ``beta`` and ``tol``. On a full grid over ``rho`` and ``beta`` the path leads from the middle along
    ``rho``, and from there along ``beta``, whose changes take fewer iterations. ``tol`` is followed from loose to
    tight.

    A fit has collapsed if it has more dead or saturated units than where its path last started from random weights (by
    more than a tenth of all units); if more than half of its units are dead, saturated or constant; if its loss has
    risen; or if it diverges. It is then replaced by a fit from random weights.

    The result of a candidate does not depend on ``n_jobs``, on the order of values and of parameters, or on other
    values of parameters that start a new path. It does depend on the values between the middle of the grid and its
    own, since its path leads through these. Weights after a walk differ from those after a start from random weights,
    as weights from two seeds do; the loss is usually a little lower.

    If ``random_state`` is None, each path with several settings draws one seed per fold for all its autoencoders, from
    NumPy's global generator.

    A search with ``tol=0`` saves nothing: every fit takes ``max_iter`` iterations. The memory of a Pipeline is not used
    during the search, nor is ``n_jobs`` of a ColumnTransformer or FeatureUnion that contains the autoencoder.

    References
    ----------
    .. [1] F. Pedregosa et al., "Scikit-learn: machine learning in Python", JMLR 12, 2011.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import MinMaxScaler, StandardScaler
    >>> from skl_sae import SparseAutoencoderTransformer
    >>> from skl_sae.model_selection import PathSearchCV
    >>> X, y = load_digits(return_X_y=True)
    >>> sae = SparseAutoencoderTransformer(20, random_state=0)
    >>> classifier = LogisticRegression(max_iter=1000)
    >>> pipeline = make_pipeline(MinMaxScaler(), sae, StandardScaler(), classifier)
    >>> grid = {
    ...     "sparseautoencodertransformer__rho": [0.05, 0.1],
    ...     "sparseautoencodertransformer__beta": [0.3, 3.0],
    ... }
    >>> search = PathSearchCV(pipeline, grid, cv=3).fit(X[:600], y[:600])
    >>> search.path_results_["start"][:, 0]  # each candidate's start in the first fold
    array([-1.,  0.,  0.,  1.])
    """

    _doc_link_module = "skl_sae"
    _doc_link_template = (
        "https://skl-sae.readthedocs.io/en/stable/api/generated/skl_sae.model_selection.{estimator_name}.html"
    )

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = GridSearchCV._parameter_constraints

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: MatrixLike, y: Any = None, **params: Any) -> Self:
        """Search, and fit the best candidate on all rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Targets, for steps and scorers that need them.
        **params : dict
            Passed to ``fit`` of the estimator, to scorers and to the splitter, as by GridSearchCV: ``groups``,
            ``sample_weight``, or whatever metadata routing says.

        Returns
        -------
        self : PathSearchCV

        Raises
        ------
        ValueError
            If the estimator does not contain a single autoencoder that is fitted once; if all fits fail.
        """
        scorers, metric = self._get_scorers()
        X, y = indexable(X, y)
        params = _check_method_params(X, params=params)
        routed = self._get_routed_params_for_fit(params)
        candidates = list(ParameterGrid(self.param_grid))
        if not candidates:
            raise ValueError(
                "There are no candidates: param_grid is empty. For the estimator's own parameters pass {}."
            )
        paths = plan(self.estimator, candidates)
        data: dict[str, Any] = {"X": X, "y": y}
        if params.get("sample_weight") is not None:
            data["metadata"] = {"sample_weight": params["sample_weight"]}
        # Tasks of scikit-learn's callbacks, here and below, are those of GridSearchCV.
        n_tasks = 1 + (self.refit is not False)
        task = self._init_callback_context(max_subtasks=n_tasks) if HAS_CALLBACKS else NoTask()
        task.call_on_fit_task_begin(estimator=self, **data)

        outcomes, problems = self._walk(X, y, candidates, paths, scorers, routed, task)
        _warn_or_raise_about_fit_failures(outcomes, self.error_score)
        if callable(self.scoring):
            _insert_error_scores(outcomes, self.error_score)
        results = self._format_results(candidates, self.n_splits_, outcomes)
        self.multimetric_ = isinstance(outcomes[0]["test_scores"], dict)
        if callable(self.scoring) and self.multimetric_:
            self._check_refit_for_multimetric(outcomes[0]["test_scores"])
            metric = self.refit
        if self.refit or not self.multimetric_:
            self.best_index_ = self._select_best_index(self.refit, metric, results)
            if not callable(self.refit):
                self.best_score_ = results[f"mean_test_{metric}"][self.best_index_]
            self.best_params_ = results["params"][self.best_index_]
        if self.refit:
            task_of_refit = task.subcontext(task_name="refit-with-best-params")
            problems += self._refit(X, y, paths, routed, task_of_refit, data)
        self.scorer_ = scorers._scorers if isinstance(scorers, _MultimetricScorer) else scorers
        self.cv_results_ = results
        task.call_on_fit_task_end(estimator=self, **data)
        for message, category in problems:
            if issubclass(category, Warning):
                warnings.warn(message, category, stacklevel=3)
        self._warn_of_density(candidates)
        return self

    def _walk(
        self,
        X: Any,
        y: Any,
        candidates: list[dict[str, Any]],
        paths: list[Path],
        scorers: Any,
        routed: Any,
        task: Any,
    ) -> tuple[list[dict[str, Any]], Problems]:
        """Walk all paths on all folds; return outcomes and what to warn of.

        The outcomes are those of all folds of the first candidate, then of the second, ...
        """
        cv = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        splits = list(cv.split(X, y, **routed.splitter.split))
        self.n_splits_ = cv.get_n_splits(X, y, **routed.splitter.split)
        if len(splits) != self.n_splits_:
            raise ValueError(f"cv.get_n_splits announced {self.n_splits_} splits, but cv.split returned {len(splits)}.")
        if not splits:
            raise ValueError("There are no splits: cv is empty.")
        n_fits = len(candidates) * len(splits)
        if self.verbose > 0:
            print(f"Fitting {len(splits)} folds for each of {len(candidates)} candidates, totalling {n_fits} fits")
        task = task.subcontext(task_name="search", max_subtasks=n_fits, sequential_subtasks=False)
        task.call_on_fit_task_begin(estimator=self)
        fits = []  # what distinguishes each fit, in the order of the outcomes
        for number in range(n_fits):
            subtask = task.subcontext(task_name="candidate-split-evaluation", task_id=number)
            fits.append({"caller": self, "callback_ctx": subtask} if HAS_CALLBACKS else {})
        options = {
            "scorer": scorers,
            "fit_params": routed.estimator.fit,
            "score_params": routed.scorer.score,
            "return_train_score": self.return_train_score,
            "return_n_test_samples": True,
            "return_times": True,
            "error_score": self.error_score,
            "verbose": self.verbose,
            "process": os.getpid(),
        }
        walks = share_walks(paths, len(splits), effective_n_jobs(self.n_jobs))
        # Walks are few: if joblib put short ones together, processes would be idle.
        parallel = Parallel(n_jobs=self.n_jobs, pre_dispatch=self.pre_dispatch, batch_size=1)
        visits = parallel(
            delayed(walk_fold)(
                path,
                stops,
                clone(self.estimator),
                X,
                y,
                candidates,
                {index: fits[index * len(splits) + split] for i in stops for index in path.stops[i].candidates},
                train=splits[split][0],
                test=splits[split][1],
                split_progress=(split, len(splits)),
                seed=seed,
                n_processors=n_processors,
                **options,
            )
            for path, stops, split, seed, n_processors in walks
        )
        outcomes: list[Any] = [None] * n_fits
        problems: dict[int, Problems] = {}
        self.path_results_ = {name: np.full((len(candidates), len(splits)), np.nan) for name in RECORDS}
        for (_, _, split, *_), visited in zip(walks, visits, strict=True):
            for index, outcome, record, found in visited:
                outcomes[index * len(splits) + split] = outcome
                problems[index * len(splits) + split] = found
                for name, value in record.items():
                    self.path_results_[name][index, split] = value
        task.call_on_fit_task_end(estimator=self)
        return outcomes, summarise(problems, candidates, len(splits))

    def _refit(self, X: Any, y: Any, paths: list[Path], routed: Any, task: Any, data: dict[str, Any]) -> Problems:
        """Fit the best candidate on all rows, along its path; return what to warn of."""
        self.best_estimator_ = clone(self.estimator).set_params(**clone(self.best_params_, safe=False))
        path, stop = next(
            (path, i) for path in paths for i, stop in enumerate(path.stops) if self.best_index_ in stop.candidates
        )
        walk = Walk(path, [stop], path.draw_seed())
        with walk.joined(self.best_estimator_, stop), task.propagate_callback_context(self.best_estimator_):
            task.call_on_fit_task_begin(estimator=self, **data)
            started = time.time()
            targets = () if y is None else (y,)
            self.best_estimator_.fit(X, *targets, **routed.estimator.fit)
            self.refit_time_ = time.time() - started
        if hasattr(self.best_estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.best_estimator_.feature_names_in_
        task.call_on_fit_task_end(estimator=self, **data)
        return [(f"{message} [best candidate, fit to all rows]", category) for message, category in walk.problems(stop)]

    def _warn_of_density(self, candidates: list[dict[str, Any]]) -> None:
        """Warn if the reconstruction error alone has chosen the smallest beta, as it will on most data."""
        if self.scoring is not None or not hasattr(self, "best_params_"):
            return
        models = [_last_step(clone(self.estimator).set_params(**clone(one, safe=False))) for one in candidates]
        if not all(isinstance(model, SparseAutoencoderTransformer) for model in models):
            return
        fitted = np.flatnonzero(~np.isnan(self.path_results_["loss"]).all(axis=1))  # other values may be no numbers
        betas = {index: models[index].beta for index in fitted}
        chosen = betas.get(self.best_index_)
        if chosen is not None and chosen == min(betas.values()) < max(betas.values()):
            warnings.warn(
                f"The search chose beta={chosen}, the smallest: by default it scores the reconstruction, which is "
                "best where nothing asks for a sparse code. Choose the sparsest code that explains nearly as much as "
                "the best: scoring={'score': explained_variance_scorer, 'sparsity': population_sparsity_scorer}, "
                'refit=SparsestWithin(0.05), all in skl_sae.metrics. See "score prefers dense codes" in the user '
                "guide, Pitfalls.",
                UserWarning,
                stacklevel=4,
            )


def summarise(problems: dict[int, Problems], candidates: list[dict[str, Any]], n_splits: int) -> Problems:
    """Return one problem of each category: the message of the first fit that has it, how many have, some candidates.

    ``problems`` has those of each fit, by its number: fits of the first candidate, of the second, ... Filters of
    warnings match the beginning of a message, so what is added comes last.
    """
    fits: dict[type[BaseException], dict[int, str]] = {}
    for number, found in sorted(problems.items()):
        for message, category in found:
            fits.setdefault(category, {}).setdefault(number, message)
    summary: Problems = []
    for category, messages in fits.items():
        affected = [candidates[index] for index in dict.fromkeys(number // n_splits for number in messages)]
        names = [", ".join(f"{key}={value}" for key, value in sorted(one.items())) for one in affected[:MOST_NAMED]]
        if len(affected) > MOST_NAMED:
            names.append(f"{len(affected) - MOST_NAMED} more")
        where = f"{len(messages)} of {len(candidates) * n_splits} fits of the search: {'; '.join(names)}"
        summary.append((f"{next(iter(messages.values()))} [{where}]", category))
    return summary


def _last_step(estimator: Any) -> Any:
    """Return the estimator whose ``score`` is that of a Pipeline."""
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    return estimator
