"""Weakly supervised localisation: a picture and its saliency map -> the object's mask and box.

Simonyan, Vedaldi & Zisserman 2013, section 3.2. The ways in are `locate`, for a model and a picture, and
`segment.object_box`, for a map that one has; `colour` models the colours of object and background, `graph_cut`
minimises the energy, `presets` has every number.
"""
