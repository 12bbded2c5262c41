"""`Prediction`: a tuple of five attributes, made from a raw output when they are asked for."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from edge_mnist import Classifier, Prediction, backends
from edge_mnist.classifier.prediction import BytePrediction, ByteScores
from edge_mnist.datasets import synthetic
from tests.conftest import SHIPPED, WHOLE

BACKENDS = [runtime.backend for runtime in backends.installed()]
NAMES = ("digit", "confidence", "probabilities", "label", "reason")


def by_hand(probabilities: np.ndarray, threshold: float) -> tuple[object, ...]:
    """Return the five attributes as their docstring defines them."""
    digit, confidence = int(probabilities.argmax()), float(probabilities.max())
    if confidence < threshold:
        reason = f"unsure: {confidence:.2f}, below {threshold:.2f}"
        return None, confidence, probabilities, None, reason
    return digit, confidence, probabilities, str(digit), None


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Drawn digits and noise: some are rejected (120, 28, 28)."""
    noise = np.random.default_rng(2).integers(0, 256, (60, 28, 28), np.uint8)
    return np.concatenate([synthetic.draw(np.arange(60) % 10, seed=4), noise])


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_attributes_are_those_of_the_probabilities(backend: str, images: np.ndarray) -> None:
    classifier = Classifier(SHIPPED, backend=backend)
    table = classifier.predict_probabilities(images)
    predictions = [classifier.predict(image) for image in images]
    assert all(isinstance(prediction, BytePrediction) for prediction in predictions)
    for prediction, probabilities in zip(predictions, table, strict=True):
        expected = by_hand(probabilities, classifier.spec.threshold)
        # In any order: each is made on its own.
        for index in np.random.default_rng(len(images)).permutation(5):
            got = getattr(prediction, NAMES[index])
            assert type(got) is type(expected[index])
            assert np.array_equal(got, expected[index])
    assert 10 < sum(prediction.digit is None for prediction in predictions) < 110


def test_bytes_are_read_as_argmax_and_threshold_say() -> None:
    values = (np.arange(256, dtype=np.float32) - 3) * np.float32(1 / 256)
    spec = Classifier().spec._replace(threshold=0.5)
    scores = ByteScores.of(values, spec)
    random = np.random.default_rng(0)
    rows = random.integers(0, 256, (2000, 10), np.uint8)
    rows[:500] //= 2  # about the threshold, which byte 131 reaches
    rows[500:1000] = random.integers(0, 2, (500, 10)) * 255  # several greatest
    for row in rows:
        prediction = object.__new__(BytePrediction)
        prediction._output, prediction._scores = row.tobytes(), scores
        assert prediction == by_hand(values[row], 0.5)


@pytest.mark.parametrize("threshold", [0.0, 1 / 256, 0.4999, 0.99999])
def test_the_least_byte_is_the_first_that_the_threshold_takes(threshold: float) -> None:
    values = np.arange(256, dtype=np.float32) / 256
    least = ByteScores.of(values, Classifier().spec._replace(threshold=threshold)).least
    taken = [byte for byte in range(256) if float(values[byte]) >= threshold]
    assert taken == list(range(least, 256))


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_a_prediction_is_used_as_its_tuple(precision: str, images: np.ndarray) -> None:
    classifier = Classifier(WHOLE, precision=precision)
    for image in (images[3], images[-1]):
        made = classifier.predict(image)
        digit, confidence, probabilities, label, reason = made
        assert (made.digit, made.confidence, made.label) == (digit, confidence, label)
        assert probabilities is made.probabilities
        assert made[0] == digit and made[-1] == reason and made[1:2] == (confidence,)
        assert len(made) == 5 and made
        plain = Prediction(digit, confidence, probabilities.copy(), label, reason)
        assert plain == made == tuple(plain) == made
        assert repr(made) == repr(plain)
        assert repr(made).startswith(f"Prediction(digit={digit!r}, confidence={confidence!r}, ")
        assert list(made._asdict()) == list(NAMES) == list(made._fields)
        for again in (pickle.loads(pickle.dumps(made)), copy.copy(made), copy.deepcopy(made)):
            assert type(again) is Prediction and again == made
        changed = made._replace(digit=5, label="5")
        assert changed == Prediction(5, confidence, probabilities, "5", reason)
        assert changed != made and made != changed
        assert made != 7 and made != (digit, confidence)
        match made:
            case Prediction(found, share):
                assert (found, share) == (digit, confidence)
        for name in NAMES:
            with pytest.raises(AttributeError):
                setattr(made, name, None)
        with pytest.raises(TypeError):
            hash(made)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_later_prediction_changes_nothing_that_is_not_yet_made(
    backend: str, images: np.ndarray
) -> None:
    classifier = Classifier(SHIPPED, backend=backend)
    expected = [tuple(classifier.predict(image)) for image in images]
    later = [classifier.predict(image) for image in images]
    assert len({row[2].tobytes() for row in expected}) > 50
    for prediction, values in zip(later, expected, strict=True):
        assert prediction == values


def test_arrays_of_other_kinds_take_the_same_way(images: np.ndarray) -> None:
    classifier = Classifier()
    expected = classifier.predict(images[0])
    odd = np.dtype("u1", metadata={"from": "a camera"})

    class Frame(np.ndarray):
        pass

    for image in (
        images[0][..., np.newaxis],
        images[0].view(Frame),
        images[0].view(np.matrix),
        np.ma.masked_array(images[0]),
        images[0].astype(odd),
        np.asfortranarray(images[0]),
        np.broadcast_to(images[0], (2, 28, 28))[1],
    ):
        assert classifier.predict(image) == expected
