"""Compiled kernel of the L1 multinomial logistic regression; import it inside functions only.

Proximal Newton: at each step the loss is replaced by its second-order model on the working set
of coefficients, the penalized model is minimized by coordinate descent, and a line search makes
the step safe (Lee, Sun & Saunders 2014, SIAM J. Optim. 24, 1420; coordinate descent on the
model as in Friedman, Hastie & Tibshirani 2010, J. Stat. Softw. 33(1)).
"""

from __future__ import annotations

import numpy as np
from numba import njit

_MAX_SWEEPS = 2000
_SWEEPS_PER_ROUND = 5
_MAX_SUBSPACE_STEPS = 50
_RIDGE = 1e-10
_ARMIJO = 1e-4
_MIN_STEP = 1e-8
_ROUNDING = 1e-12
_FORCING = 0.1
_INTERCEPT = -1


@njit(cache=True)
def _softmax(features, coef, intercept, proba):
    """Fill `proba` (n, classes) and return the logarithm of each row's normalizer."""
    n_classes = coef.shape[0]
    proba[:] = np.dot(features, coef.T)
    logs = np.empty(features.shape[0])
    for i in range(features.shape[0]):
        top = -np.inf
        for k in range(n_classes):
            proba[i, k] += intercept[k]
            top = max(top, proba[i, k])
        total = 0.0
        for k in range(n_classes):
            proba[i, k] = np.exp(proba[i, k] - top)
            total += proba[i, k]
        for k in range(n_classes):
            proba[i, k] /= total
        logs[i] = top + np.log(total)
    return logs


@njit(cache=True)
def _objective(features, weights, labels, penalty, coef, intercept, proba):
    logs = _softmax(features, coef, intercept, proba)
    value = penalty * np.abs(coef).sum()
    for i in range(features.shape[0]):
        k = labels[i]
        score = intercept[k]
        for j in range(features.shape[1]):
            score += features[i, j] * coef[k, j]
        value += weights[i] * (logs[i] - score)
    return value


@njit(cache=True)
def penalized_loss(features, weights, labels, penalty, coef, intercept):
    """Weighted negative log-likelihood plus penalty times the sum of |coef|."""
    proba = np.empty((features.shape[0], coef.shape[0]))
    return _objective(features, weights, labels, penalty, coef, intercept, proba)


@njit(cache=True)
def _minimize_model(hessian, gradient, start, limit, tolerance):
    """Minimize g·d + d·H·d/2 + sum(limit·|start + d|).

    Sweeps of coordinate descent find which coefficients are not zero, steps among these find
    their values.
    """
    size = gradient.size
    step = np.zeros(size)
    slope = gradient.copy()
    for sweep in range(1, _MAX_SWEEPS + 1):
        worst = 0.0
        for u in range(size):
            curvature = hessian[u, u]
            old = start[u] + step[u]
            target = old - slope[u] / curvature
            new = np.sign(target) * max(abs(target) - limit[u] / curvature, 0.0)
            change = new - old
            if change != 0.0:
                step[u] += change
                for v in range(size):
                    slope[v] += change * hessian[u, v]
                worst = max(worst, abs(change) * curvature)
        if worst <= tolerance:
            break
        if sweep % _SWEEPS_PER_ROUND:
            continue
        for _ in range(_MAX_SUBSPACE_STEPS):
            if not _subspace_step(hessian, slope, start, step, limit):
                break
    return step


@njit(cache=True)
def _subspace_step(hessian, slope, start, step, limit):
    """Newton step among the nonzero coefficients, as far as the penalized model falls along it.

    Coordinate descent alone needs thousands of sweeps where features are nearly collinear.
    Whether a coefficient reached zero or changed its sign on the way, so that another step
    goes elsewhere (feature-sign search, Lee et al. 2007, Adv. Neural Inf. Process. Syst. 19,
    801, with an exact search along the line).
    """
    size = slope.size
    free = np.empty(size, np.int64)
    count = 0
    for u in range(size):
        if limit[u] == 0.0 or start[u] + step[u] != 0.0:
            free[count] = u
            count += 1
    free = free[:count]
    matrix = np.empty((count, count))
    target = np.empty(count)
    for a in range(count):
        for b in range(count):
            matrix[a, b] = hessian[free[a], free[b]]
        target[a] = -slope[free[a]] - limit[free[a]] * np.sign(start[free[a]] + step[free[a]])
    direction = np.linalg.solve(matrix, target)
    length, stopped, crossed = _length_along(direction, target, free, start, step, limit)
    for a in range(count):
        u = free[a]
        change = -(start[u] + step[u]) if a == stopped else length * direction[a]
        step[u] = -start[u] if a == stopped else step[u] + change
        for v in range(size):
            slope[v] += change * hessian[u, v]
    return crossed


@njit(cache=True)
def _length_along(direction, target, free, start, step, limit):
    """Where the penalized model is smallest along a Newton direction.

    Returns the length, the coefficient that ends there at zero (else −1), and whether any
    coefficient reached zero up to there.
    """
    slope = -np.dot(target, direction)
    curvature = -slope
    crossing = np.full(direction.size, np.inf)
    for a in range(direction.size):
        value = start[free[a]] + step[free[a]]
        if limit[free[a]] > 0.0 and value * direction[a] < 0.0:
            crossing[a] = -value / direction[a]
    crossed = False
    while curvature > 0.0 and np.isfinite(curvature):
        a = np.argmin(crossing)
        lowest = -slope / curvature
        if lowest <= crossing[a]:
            return lowest, -1, crossed
        slope += 2.0 * limit[free[a]] * abs(direction[a])
        crossed = True
        if slope + crossing[a] * curvature >= 0.0:
            return crossing[a], a, True
        crossing[a] = np.inf
    return 0.0, -1, False


@njit(cache=True)
def _hessian(features, weights, proba, column, bounds):
    """Second derivatives of the loss; class k owns the variables bounds[k] to bounds[k + 1]."""
    n, size = features.shape[0], column.size
    plain = np.empty((size, n))
    scaled = np.empty((size, n))
    root = np.sqrt(weights)
    for k in range(bounds.size - 1):
        for u in range(bounds[k], bounds[k + 1]):
            for i in range(n):
                value = 1.0 if column[u] == _INTERCEPT else features[i, column[u]]
                plain[u, i] = value * root[i]
                scaled[u, i] = plain[u, i] * proba[i, k]
    hessian = -np.dot(scaled, scaled.T)
    for k in range(bounds.size - 1):
        a, b = bounds[k], bounds[k + 1]
        if b > a:
            hessian[a:b, a:b] += np.dot(scaled[a:b], plain[a:b].T)
    largest = 0.0
    for u in range(size):
        largest = max(largest, hessian[u, u])
    for u in range(size):
        hessian[u, u] = max(hessian[u, u], 0.0) + _RIDGE * largest + 1e-300
    return hessian


@njit(cache=True)
def _remove_common_part(coef, first):
    """Shift each feature's coefficients so that one of the middle ones is 0.

    A constant added to all classes leaves the likelihood as it is; the penalty is smallest
    when the median over the classes is 0 (as in glmnet's multinomial).
    """
    n_classes = coef.shape[0]
    if first > 0:
        return
    for j in range(coef.shape[1]):
        ordered = np.sort(coef[:, j])
        low, high = ordered[(n_classes - 1) // 2], ordered[n_classes // 2]
        if low > 0.0:
            coef[:, j] -= low
        elif high < 0.0:
            coef[:, j] -= high


@njit(cache=True)
def _spare_classes(coef, gradient, penalty, first):
    """Per feature the class to leave as it is where every class could move, else −1.

    With all of them the model would have no curvature along their common part.
    """
    n_classes = coef.shape[0]
    spare = np.full(coef.shape[1], -1)
    for j in range(coef.shape[1]):
        movable = 0
        smallest = np.inf
        which = -1
        for k in range(n_classes):
            if coef[k, j] != 0.0:
                movable += 1
            elif abs(gradient[k, j]) > penalty:
                movable += 1
                if abs(gradient[k, j]) < smallest:
                    smallest, which = abs(gradient[k, j]), k
        if first == 0 and movable == n_classes:
            spare[j] = which
    return spare


@njit(cache=True)
def solve(features, weights, labels, penalty, coef, intercept, first, max_steps, tolerance):
    """Minimize the penalized loss from a start; `coef` and `intercept` change in place.

    Classes before `first` keep zero coefficients (two classes need one set only), and the
    intercept of the first class stays as it is: only differences matter.

    Returns the largest violation of the optimality conditions in units of the penalty.
    """
    n, n_features = features.shape
    n_classes = coef.shape[0]
    proba = np.empty((n, n_classes))
    residual = np.empty((n, n_classes))
    bounds = np.zeros(n_classes + 1, np.int64)
    _remove_common_part(coef, first)
    loss = _objective(features, weights, labels, penalty, coef, intercept, proba)
    violation = np.inf
    for iteration in range(max_steps + 1):
        for i in range(n):
            for k in range(n_classes):
                residual[i, k] = weights[i] * proba[i, k]
            residual[i, labels[i]] -= weights[i]
        gradient = np.dot(residual.T, features)
        offsets = residual.sum(axis=0)

        spare = _spare_classes(coef, gradient, penalty, first)

        violation = 0.0
        size = 0
        for k in range(n_classes):
            bounds[k] = size
            if k > 0:
                violation = max(violation, abs(offsets[k]))
                size += 1
            if k >= first:
                for j in range(n_features):
                    if coef[k, j] != 0.0:
                        off = abs(gradient[k, j] + penalty * np.sign(coef[k, j]))
                        size += 1
                    else:
                        off = abs(gradient[k, j]) - penalty
                        size += off > 0.0 and spare[j] != k
                    violation = max(violation, off)
        bounds[n_classes] = size
        violation /= penalty
        if violation <= tolerance or iteration == max_steps:
            return violation

        column = np.empty(size, np.int64)
        slope = np.empty(size)
        start = np.empty(size)
        limit = np.empty(size)
        u = 0
        for k in range(n_classes):
            if k > 0:
                column[u], slope[u], start[u], limit[u] = _INTERCEPT, offsets[k], intercept[k], 0.0
                u += 1
            if k >= first:
                for j in range(n_features):
                    if coef[k, j] != 0.0 or (abs(gradient[k, j]) > penalty and spare[j] != k):
                        column[u], slope[u] = j, gradient[k, j]
                        start[u], limit[u] = coef[k, j], penalty
                        u += 1

        hessian = _hessian(features, weights, proba, column, bounds)
        step = _minimize_model(
            hessian, slope, start, limit, _FORCING * min(violation, 1.0) * penalty
        )
        descent = 0.0
        for u in range(size):
            descent += slope[u] * step[u] + limit[u] * (abs(start[u] + step[u]) - abs(start[u]))

        length = 1.0
        moved = False
        while length > _MIN_STEP and not moved:
            new_coef, new_intercept = coef.copy(), intercept.copy()
            for k in range(n_classes):
                for u in range(bounds[k], bounds[k + 1]):
                    if column[u] == _INTERCEPT:
                        new_intercept[k] = start[u] + length * step[u]
                    else:
                        new_coef[k, column[u]] = start[u] + length * step[u]
            new_loss = _objective(
                features, weights, labels, penalty, new_coef, new_intercept, proba
            )
            moved = new_loss <= loss + _ARMIJO * length * descent + _ROUNDING * abs(loss)
            length *= 0.5
        if not moved:
            return violation
        coef[:] = new_coef
        intercept[:] = new_intercept
        _remove_common_part(coef, first)
        loss = _objective(features, weights, labels, penalty, coef, intercept, proba)
    return violation
