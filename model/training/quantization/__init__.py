"""From a trained generator to its integers.

generator -> quantizer: its steps -> calibration: units of values -> learning with the roundings
          -> tensors of the integer generator
"""
