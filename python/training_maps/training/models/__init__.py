"""The networks that are trained, in plain torch: one network, no thought of seeds or devices.

A module each and nothing imported here, so that a change in one network reruns only its own tasks.
"""
