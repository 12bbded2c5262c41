"""A bundle in; a page to draw digits on, a JSON API and the Open Inference Protocol out.

Needs the extra `serve`. From the socket to the model:

server.py               signals; address.py: where it listens; settings.py: access rules and limits
connection_timeouts.py  closes slow connections
app.py                  routes; middleware.py: access control, log; openapi.json: description
security_headers.py     headers of every answer
service.py              a handler for each route
request_body.py         bodies within limits; worker_queue.py: threads that predict
predict_api.py          `/v1/predict`; inference_protocol.py: `/v2`; json_images.py: both
demonstration.py        `/v1/demo`: two models side by side; activations.py: the layers of one
models.py               the classifiers that are loaded; stage_times.py: their times by stage
problem_details.py      errors as answers
metrics.py, benchmark_panel.py, log.py, page/
"""
