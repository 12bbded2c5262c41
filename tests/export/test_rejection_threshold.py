"""The rejection threshold: where it lies on given answers, and what the manifest says of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_mnist import Classifier, datasets
from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist_export.verification import rejection_threshold
from edge_mnist_export.verification.rejection_threshold import (
    Answers,
    Predict,
    best_threshold,
    join,
)

# 1,000 right answers to images: 990 sure ones, and ten from 0.50 to 0.95.
IMAGES = Answers(
    np.concatenate([np.full(990, 0.99), np.linspace(0.50, 0.95, 10)]), np.ones(1000, bool)
)
NOTHING = np.zeros(0)


# The choice is tried on as many pictures as an export draws.
pytestmark = pytest.mark.usefixtures("all_pictures")


@pytest.fixture(scope="module")
def shipped() -> Predict:
    """The shipped model, for images with an axis of one channel, as an export has them."""
    predict = Classifier("nano").predict_probabilities
    return lambda images: predict(images.reshape(-1, 28, 28))


def with_wrong(*confidences: float) -> Answers:
    wrong = Answers(np.array(confidences), np.zeros(len(confidences), bool))
    return join([IMAGES, wrong])


def test_it_stops_where_a_refusal_no_longer_saves_an_error() -> None:
    # Below 0.65 are three right answers (0.50, 0.55, 0.60) and four wrong ones.
    assert best_threshold(IMAGES, with_wrong(0.51, 0.58, 0.61, 0.62), NOTHING) == 0.65
    # Two errors below 0.5 are not worth a third right answer.
    assert best_threshold(IMAGES, with_wrong(0.3, 0.4), NOTHING) == 0.5


def test_it_accepts_most_of_the_right_answers() -> None:
    many = with_wrong(*np.linspace(0.5, 0.98, 400))
    threshold = best_threshold(IMAGES, many, NOTHING)
    assert (IMAGES.confidence >= threshold).mean() >= rejection_threshold.ACCEPTED
    assert threshold == 0.75


def test_it_refuses_as_many_pictures_without_a_digit_as_the_strict_one() -> None:
    # The strict threshold, 0.65, accepts the picture at 0.7 and refuses those at 0.2 and 0.57.
    others = np.array([0.2, 0.57, 0.7])
    threshold = best_threshold(IMAGES, with_wrong(0.3), others)
    assert 0.57 < threshold <= 0.6
    assert ((others >= threshold) == (others >= 0.65)).all()


def test_the_curve_counts_refusals_and_errors() -> None:
    row = rejection_threshold.curve(with_wrong(0.3, 0.7), np.array([0.4, 0.9]), [0.6])[0]
    assert row == {
        "threshold": 0.6,
        "right_refused": 2,
        "wrong_refused": 1,
        "wrong_accepted": 1,
        "no_digit_accepted": 1,
    }


def test_the_manifest_states_the_choice(shipped: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejection_threshold, "_COMPOSED", {"form cells": 9, "low resolution": 6})
    monkeypatch.setattr(rejection_threshold, "_DRAWN", 4)
    validation = datasets.load(datasets.find("synthetic"), "test", limit=500)
    # As an export has them: one channel.
    validation = replace(validation, images=validation.images[..., np.newaxis])
    refusal = rejection_threshold.choose(shipped, ModelSpec(), validation, seed=0)
    assert refusal is not None
    assert refusal["data"] == "synthetic-test"
    assert refusal["pictures"] == {"drawn photographs": 4, "form cells": 9, "low resolution": 6}
    assert refusal["kept"] >= rejection_threshold.ACCEPTED
    refused = [row["right_refused"] for row in refusal["curve"]]
    accepted = [row["wrong_accepted"] for row in refusal["curve"]]
    assert refused == sorted(refused) and accepted == sorted(accepted, reverse=True)
    assert refusal["refused"]["empty paper"] == 1


def test_without_every_digit_nothing_is_composed(
    shipped: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejection_threshold, "_DRAWN", 2)
    split = datasets.load(datasets.find("synthetic"), "test", limit=5)
    refusal = rejection_threshold.choose(shipped, ModelSpec(), split, seed=0)
    assert refusal is None or refusal["pictures"] == {"drawn photographs": 2}


def test_other_labels_have_no_threshold(shipped: Predict) -> None:
    split = datasets.load(datasets.find("synthetic"), "test", limit=5)
    spec = ModelSpec(labels=tuple("abcdefghij"))
    assert rejection_threshold.choose(shipped, spec, split, seed=0) is None
