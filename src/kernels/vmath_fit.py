#!/usr/bin/env python3
"""Minimax polynomials of vmath.h, by Remez exchange on the relative error. Needs mpmath; prints C constants."""
from mpmath import mp, mpf, atanh, chop, cos, erfc, exp, expm1, findroot, lu_solve, matrix, pi, sqrt

mp.dps = 40


def remez(target, weight, low, high, degree, rounds=12, grid=3000):
    """Coefficients c of sum c_i x^i with the least max |poly - target| * weight on [low, high]."""
    n = degree + 2
    points = [(low + high) / 2 - (high - low) / 2 * cos(pi * i / (n - 1)) for i in range(n)]
    xs = [low + (high - low) * mpf(i) / grid for i in range(grid + 1)]
    values, weights = [target(x) for x in xs], [weight(x) for x in xs]
    for _ in range(rounds):
        system = matrix(n, n)
        for i, x in enumerate(points):
            for j in range(degree + 1):
                system[i, j] = x**j
            system[i, degree + 1] = (-1) ** i / weight(x)
        c = list(lu_solve(system, matrix([target(x) for x in points])))[: degree + 1]
        errors = [(sum(a * x**k for k, a in enumerate(c)) - v) * w for x, v, w in zip(xs, values, weights)]
        peaks, start = [], 0
        for i in range(1, grid + 2):  # the largest error of each run of one sign
            if i > grid or errors[i] * errors[start] < 0:
                peaks.append(max(range(start, i), key=lambda k: abs(errors[k])))
                start = i
        if len(peaks) < n:
            break
        while len(peaks) > n:
            peaks.pop(0 if abs(errors[peaks[0]]) < abs(errors[peaks[-1]]) else -1)
        points = [xs[p] for p in peaks]
    return c, max(abs(e) for e in errors)


def show(name, fit):
    coefficients, error = fit
    print(f"{name}: error {mp.nstr(error, 3)}: " + ", ".join(mp.nstr(chop(c), 10) + "f" for c in coefficients))


if __name__ == "__main__":
    half = mp.log(2) / 2
    tiny = mpf("1e-12")
    # e^r - 1 = r + r^2 P(r); the error is taken relative to e^r - 1, so that expm1 may use it near 0
    show("exp", remez(lambda r: (expm1(r) - r) / r**2 if abs(r) > tiny else mpf(1) / 2,
                      lambda r: abs(r**2 / expm1(r)) if abs(r) > tiny else mpf(0) + tiny, -half, half, 4))
    # atanh(s) = s + s z Q(z), z = s^2, for |s| <= 1/3
    show("atanh", remez(lambda z: (atanh(sqrt(z)) / sqrt(z) - 1) / z if z > tiny else mpf(1) / 3, lambda z: z + tiny,
                        mpf(0), mpf(1) / 9, 3))
    # Phi(-x) = e^(-x^2/2) t R(t), t = 1 / (1 + 0.34 x), x in [0, 14]
    shape = mpf(34) / 100

    def tail(t):
        x = (1 / t - 1) / shape
        return erfc(x / sqrt(2)) / 2 * exp(x * x / 2) / t

    show("tail", remez(tail, lambda t: 1 / tail(t), 1 / (1 + 14 * shape), mpf(1), 8))
