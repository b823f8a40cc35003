"""The evaluation of Feedmill's estimators on real and simulated logs: `make evaluate` writes docs/evaluation/.

The product's own transforms make the estimates in Spark (:mod:`evaluation.product`). The methods that they are compared
with are here, in NumPy and SciPy, or come from libraries of `requirements-evaluate.txt`, which the product never needs.
"""
