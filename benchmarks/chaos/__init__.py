"""Kills, freezes, restarts and floods, with the balancers of deploy/ in front: what is lost?"""
