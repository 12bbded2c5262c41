"""Tests of the page and the API, over real sockets and in a real browser."""
