"""A verified model and its figures in, a bundle folder or a folder for the Hugging Face Hub out."""
