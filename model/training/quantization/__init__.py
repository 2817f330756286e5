"""From a trained generator or upscaler to its integers.

generator -> quantizer: its steps -> calibration: units of values -> learning with the roundings
          -> tensors of the integer generator
upscaler  -> upscaler: the same, by pictures of the generator
"""
