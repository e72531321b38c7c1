"""Weakly supervised localisation: a picture and its saliency map -> the object's mask and box.

Simonyan, Vedaldi & Zisserman 2013, section 3.2. `segment` is the way in; `colour` models the colours of object and
background, `graph_cut` minimises the energy.
"""
