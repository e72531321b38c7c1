"""Pictures: the procedural shapes, ILSVRC trees, plain folders, transforms and the data module."""
