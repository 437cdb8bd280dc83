"""The objective and its gradient over all rows: two passes over them."""

from .groups import add_up, add_up_biases, cut, encode_group, learn_group, place
from .jit import jit
from .products import add_decay, decay_factor, weights_of
from .team import meet, share


@jit
def evaluate_steps(theta, arch, reg, rows, w, n_rounds, phases, work, team):
    """Take the given ``phases`` (a `Span`) of an evaluation, in each of which a thread does its share; return the next.

    The gradient of the sparsity term needs the mean activations over all rows. In the first ``n_rounds`` phases a part
    of every group is encoded, in as many more it enters the gradient of the group, and in the last phase these are
    added up. ``work.errors`` are the reconstruction errors of the groups, ``work.unit_sums`` their shares of the mean
    activations.
    """
    n_groups, n_weights = work.errors.size, work.gradients.shape[1]
    first_group, last_group = share(team, n_groups)
    for phase in range(phases.start, phases.stop):
        if phase == 2 * n_rounds:
            low, high = cut(team.me, n_weights, team.size), cut(team.me + 1, n_weights, team.size)
            gradient = work.gradient.flat
            add_up(work.gradients, low, high, gradient)
            add_decay(weights_of(theta)[low:high], decay_factor(arch, reg.alpha), gradient[low:high])
            if team.me == 0:
                add_up_biases(work.unit_biases, work.gradient.b)
                add_up_biases(work.feature_biases, work.gradient.c)
        else:
            learns, r = phase // n_rounds, phase % n_rounds
            for g in range(first_group, last_group):
                part = place(g, w.size, n_groups, r, n_rounds)
                if learns:
                    learn_group(theta, arch, reg, rows, w, None, part, work)
                else:
                    encode_group(theta, arch, rows, w, None, part, work)
        if team.size > 1 and not meet(team, phase + 1):
            return phase + 1
    return phases.stop
