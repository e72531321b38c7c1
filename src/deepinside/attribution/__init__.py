"""The gradient of class scores with respect to pictures, and the maps made of it."""
