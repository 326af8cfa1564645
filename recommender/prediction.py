"""Predicted ratings, on the catalogue's own scale, from biases and the neighbours' residuals.

r̂ = μ + b_u + b_i + Σ w · (r_v − mean_v − b_i) / (Σ w + damping), over the neighbours who rated i, with their votes'
similarity weights w. The item bias b_i is damped (Koren 2010, "Factor in the Neighbors", eq. 2), and so is the weighted
sum (Bell and Koren 2007); b_u is the mean of the user's r − μ − b_i, weighted 0.5^(age / half-life) as the query is:
how this user has been rating lately.
"""

import numpy as np

from recommender.item_index import Dense
from recommender.kernels import Tally
from recommender.profile import Floats
from recommender.rules import RankingRules
from recommender.statistics import ItemStatistics
from recommender.vector import recency


def user_baseline(statistics: ItemStatistics, rules: RankingRules, rated: Dense, ratings: Floats) -> float:
    """μ + b_u from the user's rated items and ratings in history order, shape (n,); μ without any."""
    rated, ratings = rated[-rules.query_events :], ratings[-rules.query_events :]
    weights = recency(len(rated), rules.query_half_life)
    residuals = ratings - statistics.global_mean - statistics.item_bias(rated, rules.item_bias_damping)
    return statistics.global_mean + float((weights * residuals).sum() / (weights.sum() + rules.user_bias_damping))


def predict_voted(statistics: ItemStatistics, rules: RankingRules, baseline: float, tally: Tally) -> Floats:
    """Predictions for the items of a tally, shape (u,); without votes: baseline and item bias."""
    bias = statistics.item_bias(tally.dense, rules.item_bias_damping)
    pull = (tally.pull - tally.weight * bias) / (tally.weight + rules.residual_damping)
    return _clipped(baseline + bias + pull, rules)


def predict_any(statistics: ItemStatistics, rules: RankingRules, baseline: float, tally: Tally, dense: Dense) -> float:
    """The prediction for one item, of shape (1,), whether it is in the tally or not."""
    at = np.flatnonzero(tally.dense == dense)
    if not len(at):
        nothing = np.zeros(1)
        tally, at = Tally(dense, nothing, np.zeros(1, np.int64), nothing, nothing), np.zeros(1, np.int64)
    return float(predict_voted(statistics, rules, baseline, tally.at(at))[0])


def _clipped(predictions: Floats, rules: RankingRules) -> Floats:
    clipped: Floats = np.minimum(np.maximum(predictions, rules.scale_min), rules.scale_max)
    return clipped
