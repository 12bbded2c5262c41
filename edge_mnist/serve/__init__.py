"""The page to draw a digit on, and the API that it asks: what the extra `serve` brings.

server.py   the socket, the signals, slow connections
app.py      routes, and what every request goes through
v1.py       pictures in, digits out
inference_protocol.py   the same for clients of the Open Inference Protocol
models.py   what is loaded, and which of it a request asks for
limits.py   how much, how long and how many
problems.py, metrics.py, benchmarks.py, openapi.py, page/   what is answered beside that
"""
