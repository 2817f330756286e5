"""Kills, freezes, restarts and floods, with the balancer of deploy/ in front: what do clients lose?"""
