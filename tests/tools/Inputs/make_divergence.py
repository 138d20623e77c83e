#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes divergence.json: rows of logits and, computed with numpy in extended
precision straight from the definitions in tools/lfmc/Divergence.h, what
DivergenceTest expects of them. usage: make_divergence.py > divergence.json"""
import json

import numpy as np

WIDE = np.longdouble


def softmax(logits):
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def kl(p, q):
    return np.sum(p * np.log(p / q)) if len(p) else WIDE(0)


def row(reference, logits, k, temperature, token):
    reference = np.asarray(reference, np.float32)
    logits = np.asarray(logits, np.float32)
    a, b = reference.astype(WIDE), logits.astype(WIDE)
    p, q = softmax(a), softmax(b)
    order = np.argsort(-a, kind="stable")
    top, rest = order[:k], order[k:]
    mass = kl(np.array([p[top].sum()]), np.array([q[top].sum()]))
    if len(rest):
        mass += kl(np.array([p[rest].sum()]), np.array([q[rest].sum()]))
    within = kl(softmax(a[top] / WIDE(temperature)),
                softmax(b[top] / WIDE(temperature)))
    return {"reference": [float(x) for x in reference],
            "logits": [float(x) for x in logits],
            "k": k, "temperature": temperature, "token": token,
            "kld": float(kl(p, q)),
            "topk": float(mass + p[top].sum() * within),
            "same": bool(np.argmax(a) == np.argmax(b)),
            "nll": float(-np.log(q[token]))}


def main():
    random = np.random.default_rng(4)
    rows = []
    for scale, noise, k, temperature in (
            (3, 0.05, 32, 2), (3, 0.5, 32, 2), (5, 2, 4, 2), (1, 0.1, 4, 1),
            (4, 0.3, 8, 0.5), (3, 0.2, 100, 2)):
        reference = scale * random.standard_normal(64)
        logits = reference + noise * random.standard_normal(64)
        rows.append(row(reference, logits, k, temperature, 7))
    # Logits around 1000, and a tail that the model makes 1e-20 of its size.
    rows.append(row(1000 + 3 * random.standard_normal(40),
                    998 + 3 * random.standard_normal(40), 8, 2, 3))
    tail = np.concatenate([[3, 2, 1, 0], random.standard_normal(20) - 5])
    rows.append(row(tail, tail - np.where(np.arange(24) < 4, 0, 46), 4, 2, 0))
    # Equal logits at the edge of the top: the smaller ids are in it.
    rows.append(row([1, 0, 1, 0, 0, 1, 0, 0], [1, 2, 1, 0, 3, 1, 0, 0], 5, 2, 4))
    klds = np.array([r["kld"] for r in rows])
    statistics = {
        "kld_mean": klds.mean(),
        "kld_se": klds.std(ddof=1) / np.sqrt(len(klds)),
        "percentiles": {str(p): np.percentile(klds, p)
                        for p in (0, 50, 90, 95, 99, 100)},
        "topk_mean": np.mean([r["topk"] for r in rows]),
        "same": np.mean([r["same"] for r in rows])}
    print(json.dumps({"statistics": statistics, "rows": rows}, default=float))


main()
