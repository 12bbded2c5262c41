"""A float model and calibration images in, the int8 scheme with the least error out."""
