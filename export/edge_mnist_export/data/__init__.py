"""Images on the host: as model input, held out for validation, drawn as photographs."""
