"""The page and the API, asked over real sockets and in a real browser."""
