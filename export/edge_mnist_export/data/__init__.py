"""Images and labels in; model input, a validation split or drawn photographs out."""
