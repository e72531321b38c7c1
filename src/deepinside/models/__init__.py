"""ConvNets: the paper's, a small one for the shapes, torchvision's zoo; their weights and normalisation."""
