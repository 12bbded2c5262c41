"""`/metrics`, read by the parser of prometheus-client."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families as parse

from tests.serve.conftest import DIGITS, Server

FAMILIES = {
    "edge_mnist_requests": "counter",
    "edge_mnist_images": "counter",
    "edge_mnist_stage_seconds": "counter",
    "edge_mnist_reloads": "counter",
    "edge_mnist_request_bytes": "counter",
    "edge_mnist_queue_depth": "gauge",
    "edge_mnist_held_bytes": "gauge",
    "edge_mnist_peak_memory_bytes": "gauge",
    "edge_mnist_request_seconds": "histogram",
    "edge_mnist_predict_seconds": "histogram",
}
SEVEN = (DIGITS / "7.png").read_bytes()


def samples(server: Server) -> dict[str, float]:
    """Return the samples by name, or by `name/label` where there is one; no buckets."""
    families = parse(server.ask("/metrics").body.decode())
    return {
        "/".join((one.name, *one.labels.values())): one.value
        for family in families
        for one in family.samples
        if not one.name.endswith("_bucket")
    }


def test_names_and_types_stay(server: Server) -> None:
    server.ask("/v1/predict", SEVEN, type="image/png")
    answer = server.ask("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in parse(answer.body.decode())}
    assert {name: family.type for name, family in families.items()} == FAMILIES
    # _created series would appear as further gauges.
    assert "_created" not in answer.body.decode()
    bounds = [s.labels["le"] for s in families["edge_mnist_predict_seconds"].samples[:-2]]
    assert bounds[:2] == ["0.001", "0.0025"] and bounds[-2:] == ["10.0", "+Inf"]
    assert len(bounds) == 14


def test_counts_of_a_good_and_a_bad_request(server: Server) -> None:
    server.ask("/v1/predict", b"bad", type="image/png")
    before = samples(server)
    server.ask("/v1/predict?many=true", SEVEN, type="image/png")
    server.ask("/v1/predict", b"bad", type="image/png")
    after = samples(server)
    rise = {name: value - before.get(name, 0) for name, value in after.items()}
    assert rise["edge_mnist_requests_total/422"] == 1
    # The picture and the first look at the metrics.
    assert rise["edge_mnist_requests_total/200"] == 2
    assert rise["edge_mnist_images_total/model-int8.tflite-litert"] == 1
    assert rise["edge_mnist_request_bytes_total"] == len(SEVEN) + 3
    # Only predictions that succeed are timed.
    assert rise["edge_mnist_predict_seconds_count"] == 1
    assert rise["edge_mnist_request_seconds_count"] == 3
    stages = [
        rise[f"edge_mnist_stage_seconds_total/{s}"] for s in ("decode", "preprocess", "model")
    ]
    assert min(stages) > 0 and sum(stages) < rise["edge_mnist_predict_seconds_sum"]
    assert 0 < rise["edge_mnist_predict_seconds_sum"] < rise["edge_mnist_request_seconds_sum"]
    assert after["edge_mnist_queue_depth"] == after["edge_mnist_held_bytes"] == 0
    assert 10e6 < after["edge_mnist_peak_memory_bytes"] < 10e9
