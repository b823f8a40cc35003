"""The evaluation of Feedmill's estimators on real and simulated logs: `make evaluate` writes docs/evaluation/.

What is judged is made by the product's own transforms, in Spark (:mod:`evaluation.product`). What it is compared with
stands here, in NumPy and SciPy, or comes from libraries of `requirements-evaluate.txt`, which the product never needs.
"""
